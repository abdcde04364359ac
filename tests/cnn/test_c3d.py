"""C3D against figure 3 of the paper (Tran et al., arXiv:1412.0767) and its published size."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from facegen.cnn.c3d import C3D


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("classes", "published"), [(487, 79_991_015), (101, 78_409_573)])
def test_number_of_parameters_by_hand(classes: int, published: int) -> None:
    # Figure 3; for UCF101's 101 classes ports of it publish 78.4 M. fc6 sees 512 × 1 × 4 × 4 values.
    channels = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    convolutions = sum(27 * before * after + after for before, after in pairwise(channels))
    linear = (8192 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * classes + classes)
    with torch.device("meta"):
        assert parameters(C3D(classes=classes)) == convolutions + linear == published


def stages(network: C3D, x: torch.Tensor) -> list[tuple[int, ...]]:
    shapes = []
    for stage in network.features:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def test_figure_3() -> None:
    with torch.device("meta"):
        shapes = stages(C3D(), torch.zeros(1, 3, 16, 112, 112))
    assert shapes == [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7), (512, 1, 4, 4)]


def test_short_clips_are_merged_down_to_one_frame_and_no_further() -> None:
    shapes = stages(C3D(width=8, frames=6, size=32), torch.zeros(1, 3, 6, 32, 32))
    assert [frames for _, frames, *_ in shapes] == [6, 3, 1, 1, 1]


@pytest.mark.parametrize(("frames", "size"), [(16, 112), (8, 64), (8, 32), (4, 16), (1, 48)])
def test_fc6_sees_all_of_the_last_map(frames: int, size: int) -> None:
    with torch.device("meta"):
        network, x = C3D(width=8, frames=frames, size=size), torch.zeros(2, 3, frames, size, size)
        assert network.embed(x).shape[1] == network.features(x)[0].numel()


def test_the_order_of_frames_matters() -> None:
    torch.manual_seed(0)
    network, clip = C3D(classes=2, width=4, frames=8, size=32).eval(), torch.randn(1, 3, 8, 32, 32)
    with torch.inference_mode():
        assert (network(clip) - network(clip.flip(2))).abs().max() > 1e-3
