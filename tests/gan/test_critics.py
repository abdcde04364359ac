from __future__ import annotations

import pytest
import torch

from facegen.gan.critics import FeatureHead, feature_maps
from facegen.gan.penalties import input_gradient, zero_centred


def some_maps(size: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, channels, side, side, generator=draw) for channels, side in feature_maps(size))


@pytest.mark.parametrize("size", [32, 64, 80, 96, 128])
def test_every_map_counts_alike(size: int) -> None:
    torch.manual_seed(0)
    head = FeatureHead(feature_maps(size), 4)
    for number, of_map in enumerate(head.heads):
        for parameter in of_map.parameters():
            torch.nn.init.zeros_(parameter)
        torch.nn.init.constant_(of_map[-1].bias, number + 1)
    assert head(some_maps(size)).mean(1).tolist() == pytest.approx([2.5, 2.5])


def test_maps_are_of_twice_the_side_that_the_stride_leaves() -> None:
    assert feature_maps(64) == [(64, 32), (64, 16), (128, 8), (256, 4)]
    assert feature_maps(96) == [(64, 48), (64, 24), (128, 12), (256, 6)]


def test_a_head_is_the_convolutions_that_the_docstring_says() -> None:
    head = FeatureHead(feature_maps(64), 8)
    # (kernel, channels) of each layer: maps of 32, 16, 8 and 4 are brought to 8×8 or less.
    assert [
        [(layer.kernel_size[0], layer.out_channels) for layer in convolutions(of_map)] for of_map in head.heads
    ] == [
        [(4, 16), (3, 16), (4, 32), (3, 32), (4, 1)],
        [(4, 32), (3, 32), (4, 1)],
        [(3, 32), (4, 1)],
        [(3, 64), (4, 1)],
    ]


def convolutions(network: torch.nn.Module) -> list[torch.nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]


def test_an_images_logits_are_its_own() -> None:
    torch.manual_seed(0)
    head, maps = FeatureHead(feature_maps(64), 4), some_maps(64)
    alone = tuple(of_map[:1] for of_map in maps)
    torch.testing.assert_close(head(maps)[:1], head(alone))


def test_penalties_reach_every_weight_but_the_logits_bias() -> None:
    torch.manual_seed(0)
    head = FeatureHead(feature_maps(64), 4)
    _, gradient = input_gradient(head, some_maps(64))
    zero_centred(gradient).backward()
    for name, parameter in head.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0
