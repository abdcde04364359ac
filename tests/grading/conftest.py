"""Small classes of submissions and a scorer that needs no network."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from facegen.submission.rules import Limits
from facegen.submission.writer import write_tarball

Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(count=40)


@pytest.fixture(scope="session")
def smooth() -> Callable[..., Images]:
    """Random smooth pictures, uint8 [count, 64, 64, 3], as varied as faces: ``smooth(40, seed)``."""

    def make(count: int, seed: int = 0) -> Images:
        noise = np.random.default_rng(seed).normal(size=(count, 64, 64, 3))
        soft = gaussian_filter(noise, (0, 3, 3, 0), mode="wrap")
        return np.clip(128 + 55 * soft / soft.std(), 1, 255).astype(np.uint8)

    return make


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[str, Images], Path]:
    """Packs images as ``submissions/<student>.tar.gz``."""

    def make(student: str, images: Images) -> Path:
        folder = tmp_path / f"images-{student}"
        folder.mkdir()
        files = {}
        for i, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG", compress_level=1)
            files[f"{i:04d}.png"] = folder / f"{i:04d}.png"
            files[f"{i:04d}.png"].write_bytes(buffer.getvalue())
        target = tmp_path / "submissions" / f"{student}.tar.gz"
        target.parent.mkdir(exist_ok=True)
        write_tarball(files, target)
        return target

    return make
