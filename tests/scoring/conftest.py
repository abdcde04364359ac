from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from facegen.scoring.extractors import FeatureExtractor


class TinyNetwork(nn.Module):
    """Means over the four quarters of each channel: 12 features, quick, and the same for any image size."""

    def resize(self, images: Tensor) -> Tensor:
        return nn.functional.interpolate(images.float() / 255, (8, 8), mode="bilinear", align_corners=False)

    def forward(self, resized: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(resized, 2).flatten(1)


@pytest.fixture
def tiny() -> FeatureExtractor:
    return FeatureExtractor("tiny", "0" * 64, 12, TinyNetwork(), torch.device("cpu"))


@pytest.fixture
def pixels() -> np.ndarray:
    """uint8 [20, 16, 16, 3]"""
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(path / f"{index:04}.png")
    return path
