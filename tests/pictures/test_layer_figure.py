"""The figure of one layer at work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegen.cnn.registry import find_architecture
from facegen.pictures import layer_figure as module
from facegen.pictures.layer_figure import layer_figure

Panels = list[tuple[str, np.ndarray]]


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> Panels:
    """The figure's captions and pictures."""
    seen: Panels = []

    def figure(panels: Panels) -> np.ndarray:
        seen.extend(panels)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(module, "figure", figure)
    return seen


@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_has_its_filters_and_its_maps(panels: Panels, channels: int) -> None:
    lenet = find_architecture("lenet5")
    torch.manual_seed(0)
    network = lenet.build(in_channels=channels).eval()
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    layer_figure(lenet, network, "features.c1", image, "an image", channels=channels)
    captions = [caption.partition(" of ")[0] for caption, _ in panels]
    assert captions == ["an image", "features.c1.conv: 6 filters", "features.c1: 6 maps"]


def test_a_pooling_has_maps_alone(panels: Panels) -> None:
    lenet = find_architecture("lenet5")
    layer_figure(lenet, lenet.build().eval(), "features.s2", np.zeros((32, 32, 3), np.uint8), "an image", channels=1)
    assert [caption.partition(":")[0] for caption, _ in panels] == ["an image", "features.s2"]
