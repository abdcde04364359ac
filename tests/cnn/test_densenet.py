from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torchvision import models

from facegen.cnn.registry import find_architecture

#: As torchvision publishes them.
PARAMETERS = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_published_number_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        network = find_architecture(f"densenet{depth}").build()
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[depth]


@pytest.mark.parametrize("depth", PARAMETERS)
def test_torchvisions_weights_give_torchvisions_logits(largest_difference: Callable[..., float], depth: int) -> None:
    theirs = getattr(models, f"densenet{depth}")()
    assert largest_difference(f"densenet{depth}", theirs, torch.randn(1, 3, 64, 64)) < 1e-5


def test_files_that_torchvision_downloads_load_too() -> None:
    with torch.device("meta"):
        theirs, architecture = models.densenet121().state_dict(), find_architecture("densenet121")
        downloaded = {re.sub(r"(layer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): w for key, w in theirs.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in downloaded
        assert architecture.convert(downloaded).keys() == architecture.build().state_dict().keys()


def test_each_layer_sees_the_maps_of_all_layers_before_it() -> None:
    dense = find_architecture("densenet121").build(width=8, size=32).features.dense1.eval()
    x = torch.randn(2, 8, 4, 4)
    maps = dense(x)
    torch.testing.assert_close(maps[:, :8], x)
    torch.testing.assert_close(maps[:, :12], dense.layer1(x))
    assert maps.shape == (2, 8 + 6 * 4, 4, 4)


def test_laid_out_for_64x64_it_keeps_a_map_of_8x8() -> None:
    network = find_architecture("densenet121").build(classes=1, width=8, size=64)
    assert network.features(torch.randn(2, 3, 64, 64)).shape[-2:] == (8, 8)
