"""Tarballs of every kind, made by code."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegen.submission.rules import Limits


@pytest.fixture(scope="session")
def limits() -> Limits:
    """A submission of three images, and caps small enough to run into."""
    return Limits(
        count=3, compressed_bytes=1 << 20, bytes=1 << 20, members=20, member_bytes=1 << 16, header_bytes=1 << 12
    )


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Encodes a random picture: ``picture(seed, "PNG", size=(64, 64), mode="RGB")``."""

    def encode(
        seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (64, 64), mode: str = "RGB", **options: Any
    ) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def three(picture: Callable[..., bytes]) -> dict[str, bytes]:
    return {f"{i}.png": picture(i) for i in range(3)}


@pytest.fixture
def pack_members(tmp_path: Path) -> Callable[..., Path]:
    """Writes files, or ready TarInfo objects, as ``s1.tar.gz`` by way of Python's own tarfile."""

    def write(members: Mapping[str, bytes] | list[tuple[tarfile.TarInfo, bytes]], **options: Any) -> Path:
        path = tmp_path / "s1.tar.gz"
        options = {"format": tarfile.GNU_FORMAT, **options}
        with gzip.open(path, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w", **options) as tar:
            pairs = members if isinstance(members, list) else [(tarfile.TarInfo(n), d) for n, d in members.items()]
            for header, data in pairs:
                header.size = header.size or len(data)
                tar.addfile(header, io.BytesIO(data.ljust(header.size, b"\0")) if header.isreg() else None)
        return path

    return write
