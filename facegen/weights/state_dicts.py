"""Reads weights from files, as names and tensors. Code in a file is never run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import InputError, in_words
from facegen.file_kinds import (
    DOWNLOAD_AGAIN,
    LEGACY_PYTORCH,
    PYTORCH,
    SAFETENSORS,
    TORCHSCRIPT,
    ZIP,
    FileKind,
    kind_by_name,
    kind_of_file,
)
from facegen.files import Damaged
from facegen.held_file import HeldFile
from facegen.plain_zip import PlainZip
from facegen.printable import printable
from facegen.weights.content import read_safetensors

_WANTED = "Name a state dict: a .safetensors file, or what torch.save(model.state_dict(), FILE) wrote."
#: Maximum number of a checkpoint's keys in a message.
_NAMED = 8


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote (with ``weights_only``).

    The format is recognised by the content, not by the name.

    Raises:
        InputError: The file does not exist, is damaged, or holds something else. The message says what.
    """
    return read_hashed_state_dict(path)[0]


def read_hashed_state_dict(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read a state dict as :func:`read_state_dict` does, and the sha256 of its bytes. The file is opened once."""
    value, sha256 = _read(path)
    if isinstance(value, dict) and all(isinstance(tensor, Tensor) for tensor in value.values()):
        _require_plain(path, value)
        return value, sha256
    if not isinstance(value, Mapping):
        raise InputError(f"{path} holds no state dict: it holds one {type(value).__name__}.", _WANTED)
    inner = [key for key, part in value.items() if _is_state_dict(part)]
    remedy = _WANTED
    if inner:
        saved = f"torch.save(torch.load({path.name!r}, weights_only=True)[{inner[0]!r}], 'weights.pth')"
        remedy = f"Save the part that you need on its own, for example: {saved}"
    raise InputError(f"{path} is a checkpoint of several parts and not a state dict: {_parts(value)}.", remedy)


def _read(path: Path) -> tuple[Any, str]:
    """Read a file of ``torch.save`` or safetensors to the CPU, and hash it. No pickled code is run.

    Raises:
        InputError: The file does not exist, is damaged, or is of another kind, which the message names.
    """
    if not path.is_file():
        raise InputError(f"The weights {path} are not a file.", f"{path} is a folder." if path.is_dir() else None)
    try:
        kind = kind_of_file(path)
        held = HeldFile(path)
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    if kind not in (SAFETENSORS, PYTORCH, LEGACY_PYTORCH, ZIP):
        raise _another_kind(path, kind)
    try:
        if kind is SAFETENSORS:
            value: Any = read_safetensors(held)[0]
        else:
            require_honest_zip(held)
            value = torch.load(held.file, map_location="cpu", weights_only=True)  # given a path, it uses the name too
        return value, held.sha256()
    except MemoryError:  # not a fault of the file
        raise
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    except Exception as problem:  # the readers raise many kinds of exceptions
        raise _unreadable(path, kind, problem) from problem


def require_honest_zip(held: HeldFile) -> None:
    """Raise Damaged if a zip's members claim more bytes than the file has. ``torch.save`` compresses nothing.

    This prevents a file of 2 MB from taking 4 GB, through compressed zeros or overlapping members.
    """
    held.file.seek(0)
    if held.file.read(2) == b"PK":
        try:
            with PlainZip(held.file) as archive:
                claimed = sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as problem:  # ValueError: a name's encoding
            raise Damaged(in_words(problem)) from problem
        if claimed > held.size:
            raise Damaged(f"its parts claim {claimed:,} bytes, and it has {held.size:,}")
    held.file.seek(0)


def _require_plain(path: Path, tensors: Mapping[Any, Tensor]) -> None:
    """Raise InputError if a name is not text, or a tensor is not plain numbers that are all in the file."""
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise InputError(
                f"{path} holds no state dict: a tensor's name is {name!r:.40}, which is not text.", _WANTED
            )
        if not is_plain(tensor):
            raise InputError(
                f"{path} holds {printable(name)[:60]}, which is not a plain tensor of numbers.",
                "Save dense tensors on the CPU: not sparse, quantized or empty ones.",
            )
        if not is_whole(tensor):
            raise InputError(
                f"{path} is damaged: {printable(name)[:60]} claims {list(tensor.shape)}, more numbers than there are.",
                "Save tensors that are not expanded: tensor.contiguous().",
            )


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense numbers on the CPU: not sparse, quantized, nested or without values."""
    dense = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_nested
    return dense and tensor.device.type == "cpu"


def is_whole(tensor: Tensor) -> bool:
    """Return whether each number of a plain tensor is stored. An expanded tensor has any shape at almost no cost."""
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _another_kind(path: Path, kind: FileKind | None) -> InputError:
    message = f"{path} is not a file of PyTorch weights ({path.stat().st_size:,} bytes)"
    if kind is None:
        return InputError(
            f"{message}.", "If it was downloaded, it may be incomplete: compare its size with the page's."
        )
    if kind is TORCHSCRIPT:
        saved = f"torch.save(torch.jit.load({path.name!r}, map_location='cpu').state_dict(), 'weights.pth')"
        return InputError(f"{message}: it is a TorchScript module.", f"Save its state dict on its own: {saved}")
    remedy = "Unpack it and name the file in it." if kind.family == "archive" else kind.remedy
    if remedy is None or "image" in remedy:  # this advice is for places where images are expected
        remedy = _WANTED
    return InputError(f"{message}: it is {kind.name}.", remedy)


def _unreadable(path: Path, kind: FileKind | None, problem: Exception) -> InputError:
    """Describe what is wrong with a file of a supported kind."""
    pickled = re.search(r"(?:GLOBAL|Unsupported class|Trying to load unsupported(?: GLOBAL)?) ([\w.]+)", str(problem))
    if pickled is not None:
        what = pickled.group(1)
        whole = "a whole pickled module" if what.startswith("torch.nn.") else "objects beside tensors"
        return InputError(
            f"{path} is not a file of weights alone: it holds {whole} ({what}), whose code facegen does not run.",
            "Where its code is at hand, run torch.save(model.state_dict(), 'weights.pth'), and name weights.pth.",
        )
    if isinstance(problem, Damaged) and problem.__cause__ is None and kind is not ZIP:  # facegen's own message
        return InputError(f"The weights {path} are damaged: {problem}.", "Copy them again.")
    if kind is ZIP:
        return InputError(f"{path} is not a file of PyTorch weights: it is a zip archive.", "Name the file in it.")
    if (partial := kind_by_name(path.name)) is not None:
        return InputError(f"{path} is {partial.name}, and cannot be read by itself.", partial.remedy)
    return InputError(
        f"{path} is not a whole file of PyTorch weights ({path.stat().st_size:,} bytes): it is cut short or damaged.",
        DOWNLOAD_AGAIN,
    )


def _is_state_dict(part: object) -> bool:
    return isinstance(part, Mapping) and len(part) > 0 and all(isinstance(tensor, Tensor) for tensor in part.values())


def _parts(value: Mapping[object, object]) -> str:
    """List a checkpoint's parts by their keys, and the number of tensors of each state dict."""
    named = []
    for key, part in list(value.items())[:_NAMED]:
        size = f" ({len(part):,} tensors)" if isinstance(part, Mapping) and _is_state_dict(part) else ""
        named.append(f"{printable(str(key))[:40]}{size}")
    more = len(value) - len(named)
    return ", ".join([*named, f"{more} more"] if more > 0 else named) or "none"
