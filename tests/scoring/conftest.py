from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(path / f"{index:04}.png")
    return path
