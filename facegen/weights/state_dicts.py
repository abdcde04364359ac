"""Weights from files, as names and tensors. No code in a file is ever run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import InputError
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
from facegen.files import OTHER_CONTENTS, Damaged
from facegen.printable import printable
from facegen.weights.content import read_safetensors

_WANTED = "Name a state dict: a .safetensors file, or what torch.save(model.state_dict(), FILE) wrote."
#: Keys of a checkpoint that are named, at most.
_NAMED = 8


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote (read with ``weights_only``).

    Which of the two it is, its content tells, whatever its name.

    Raises:
        InputError: no such file, a damaged one, or one that holds something else: it says what.
    """
    value = read_torch_file(path)
    if isinstance(value, dict) and all(isinstance(tensor, Tensor) for tensor in value.values()):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"{path} holds no state dict: it holds one {type(value).__name__}.", _WANTED)
    inner = [key for key, part in value.items() if _is_state_dict(part)]
    remedy = _WANTED
    if inner:
        saved = f"torch.save(torch.load({path.name!r}, weights_only=True)[{inner[0]!r}], 'weights.pth')"
        remedy = f"Save the one that is meant by itself, for example: {saved}"
    raise InputError(f"{path} holds no state dict but a checkpoint of several parts: {_parts(value)}.", remedy)


def read_torch_file(path: Path) -> Any:
    """What ``torch.save`` or safetensors wrote to ``path``, on the CPU; no pickled code is run.

    Raises:
        InputError: no such file, a damaged one, or none of the two kinds: it says which kind instead.
    """
    if not path.is_file():
        raise InputError(f"The weights {path} are not a file.", f"{path} is a folder." if path.is_dir() else None)
    try:
        kind = kind_of_file(path)
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    if kind not in (SAFETENSORS, PYTORCH, LEGACY_PYTORCH, ZIP):
        raise _another_kind(path, kind)
    try:
        if kind is SAFETENSORS:
            return read_safetensors(path)[0]
        with path.open("rb") as file:  # of a path, torch would look at the name too
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # the readers raise whatever they stumble over
        raise _unreadable(path, kind, problem) from problem


def _another_kind(path: Path, kind: FileKind | None) -> InputError:
    message = f"{path} is not a file of PyTorch weights ({path.stat().st_size:,} bytes)"
    if kind is None:
        return InputError(
            f"{message}.", "If it was downloaded, it may be incomplete: compare its size with the page's."
        )
    if kind is TORCHSCRIPT:
        saved = f"torch.save(torch.jit.load({path.name!r}, map_location='cpu').state_dict(), 'weights.pth')"
        return InputError(f"{message}: it is a TorchScript module.", f"Save its state dict by itself: {saved}")
    remedy = "Unpack it and name the file in it." if kind.family == "archive" else kind.remedy
    if remedy is None or "image" in remedy:  # what is to be done where images are wanted
        remedy = _WANTED
    return InputError(f"{message}: it is {kind.name}.", remedy)


def _unreadable(path: Path, kind: FileKind | None, problem: Exception) -> InputError:
    """What went wrong in a file of a kind that is read."""
    pickled = re.search(r"(?:GLOBAL|Unsupported class|Trying to load unsupported) ([\w.]+)", str(problem))
    if pickled is not None:
        what = pickled.group(1)
        whole = "a whole pickled module" if what.startswith("torch.nn.") else "objects beside tensors"
        return InputError(
            f"{path} is not a file of weights alone: it holds {whole} ({what}), whose code facegen does not run.",
            "Where its code is at hand, run torch.save(model.state_dict(), 'weights.pth'), and name weights.pth.",
        )
    if isinstance(problem, Damaged) and str(problem) == OTHER_CONTENTS:
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
    """The parts of a checkpoint by their keys, the state dicts with how many tensors they have."""
    named = []
    for key, part in list(value.items())[:_NAMED]:
        size = f" ({len(part):,} tensors)" if isinstance(part, Mapping) and _is_state_dict(part) else ""
        named.append(f"{printable(str(key))[:40]}{size}")
    more = len(value) - len(named)
    return ", ".join([*named, f"{more} more"] if more > 0 else named) or "none"
