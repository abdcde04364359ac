"""Tensors stored with a hash of their content, so that damage is noticed when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from facegen.errors import in_words
from facegen.files import OTHER_CONTENTS, Damaged, atomic_path
from facegen.held_file import HeldFile

#: Metadata key of the hash in a ``.safetensors`` file. Older files of facegen do not have it.
CONTENTS_SHA256 = "contents_sha256"


def contents_sha256(value: object) -> str:
    """Return the sha256 of a state: nested mappings and lists with their keys, numbers, strings and tensors.

    A tensor contributes its dtype, shape and values, but not its device or memory layout.
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: object) -> Iterator[Any]:
    if isinstance(value, Tensor):
        yield f"{value.dtype}{list(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(value, Mapping):
        yield f"{len(value)} items".encode()
        for key, each in value.items():
            yield f"{key!r}:".encode()
            yield from _parts(each)
    elif isinstance(value, list | tuple):
        yield f"{len(value)} in order".encode()
        for each in value:
            yield from _parts(each)
    else:
        yield f"{value!r},".encode()


def _of_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    said = {key: metadata[key] for key in sorted(metadata) if key != CONTENTS_SHA256}
    return contents_sha256([said, dict(sorted(tensors.items()))])


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, metadata and a hash of both as ``.safetensors``. The same content gives the same bytes."""
    data = safetensors_bytes(tensors, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes that :func:`write_safetensors` writes."""
    known = {**metadata, CONTENTS_SHA256: _of_file(tensors, metadata)}
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, known)
    # The library writes metadata in a varying order. The format is a length, a JSON header of that length, and tensors.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(known.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_safetensors(file: Path | HeldFile) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and metadata. Its bytes are read once.

    Raises:
        Damaged: The file is not in this format, or its content does not match its hash.
        OSError: The file cannot be read.
    """
    return parse_safetensors((file if isinstance(file, HeldFile) else HeldFile(file)).read())


def parse_safetensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Parse the tensors and metadata of a file's bytes.

    Raises:
        Damaged: The bytes are not in this format, or do not match their hash.
    """
    try:
        # The library compares shapes with the available bytes, so no tensor is larger than the file.
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except MemoryError:
        raise
    except Exception as problem:  # a flipped bit can hit a size or an encoding, and raise anything
        raise Damaged(in_words(problem)) from problem
    if metadata.get(CONTENTS_SHA256) not in (None, _of_file(tensors, metadata)):
        raise Damaged(OTHER_CONTENTS)
    return tensors, metadata
