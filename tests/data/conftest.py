"""Folders and archives of small pictures, made by code."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Files = Mapping[str, bytes]


def make_png(seed: int) -> bytes:
    """A 10×12 RGB picture that only this seed gives."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_folder(path: Path, files: Files) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def make_zip(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def make_tar(path: Path, files: Files) -> None:
    compression = path.suffix[1:].replace("tgz", "gz").replace("tar", "")
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture
def png() -> Callable[[int], bytes]:
    return make_png


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """``store("faces.zip", files)`` writes ``files`` in the form that the name's ending asks for."""

    def write(name: str, files: Files) -> Path:
        path = tmp_path / name
        if name.endswith(".zip"):
            make_zip(path, files)
        elif "." in name:
            make_tar(path, files)
        else:
            make_folder(path, files)
        return path

    return write
