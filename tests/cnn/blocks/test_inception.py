"""Inception modules held to torchvision's, by copying weights across, and to the lecture's arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import inception
from torchvision.models.googlenet import Inception as InceptionV1

from facegen.cnn.blocks.inception import (
    Inception,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionModule,
    NaiveInception,
)

Copy = Callable[[nn.Module, nn.Module], None]
Randomise = Callable[[nn.Module], nn.Module]

#: torchvision's epsilon.
batch_norm = partial(nn.BatchNorm2d, eps=1e-3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Inception(6, 1, 2, 3, 4, 5, 7, large=3, norm=batch_norm), InceptionV1(6, 1, 2, 3, 4, 5, 7)),
        (InceptionA(6, 64, 48, 64, 64, 96, 5, norm=batch_norm), inception.InceptionA(6, 5)),
        (InceptionB(6, 384, 64, 96, norm=batch_norm), inception.InceptionB(6)),
        (InceptionC(6, 192, 5, norm=batch_norm), inception.InceptionC(6, 5)),
        (InceptionD(6, 320, 192, norm=batch_norm), inception.InceptionD(6)),
        (InceptionE(6, 320, 384, 448, 192, norm=batch_norm), inception.InceptionE(6)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_module_is_torchvisions(
    copy_in_order: Copy, randomise: Randomise, ours: InceptionModule, theirs: nn.Module
) -> None:
    copy_in_order(randomise(theirs), ours.eval())
    x = torch.randn(2, 6, 9, 8)
    with torch.inference_mode():
        expected, got = theirs(x), ours(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert got.shape[1] == ours.out_channels


@pytest.mark.parametrize(
    "module", [NaiveInception(6, 2, 3, 4), Inception(6, 2, 1, 3, 1, 4, 6)], ids=lambda module: type(module).__name__
)
def test_the_papers_modules_have_its_three_filters_and_keep_the_size(module: InceptionModule) -> None:
    with torch.inference_mode():
        assert module.eval()(torch.randn(1, 6, 9, 8)).shape == (1, 15, 9, 8)
    assert [branch[-1].conv.kernel_size for branch in module.branches[:3]] == [(1, 1), (3, 3), (5, 5)]


def test_the_naive_modules_last_channels_are_the_inputs_maxima() -> None:
    x = torch.randn(1, 6, 9, 8)
    with torch.inference_mode():
        assert torch.equal(NaiveInception(6, 2, 3, 4)(x)[:, -6:], F.max_pool2d(x, 3, stride=1, padding=1))


def weights_of(branch: nn.Module) -> int:
    return sum(p.numel() for p in branch.parameters() if p.ndim == 4)


def test_a_bottleneck_of_16_halves_the_lectures_weights() -> None:
    """3×3×32×64 = 18,432 weights; 1×1×32×16 + 3×3×16×64 = 9,728."""
    naive = NaiveInception(32, 16, 64, 16)
    bottleneck = Inception(32, 16, 16, 64, 16, 16, 16)
    assert weights_of(naive.branches[1]) == 18_432
    assert weights_of(bottleneck.branches[1]) == 9_728


def test_naive_modules_widen_from_one_to_the_next() -> None:
    """Szegedy et al., arXiv:1409.4842, section 4: the pooling's channels are added to the convolutions'."""
    first = NaiveInception(32, 16, 64, 16)
    second = NaiveInception(first.out_channels, 16, 64, 16)
    assert (first.out_channels, second.out_channels) == (128, 224)
