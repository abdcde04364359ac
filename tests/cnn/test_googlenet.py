"""GoogLeNet against torchvision's and against Caffe's published number of parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import googlenet

from facegen.cnn.googlenet import STAGES, GoogLeNet
from facegen.cnn.registry import find_architecture

Randomise = Callable[[nn.Module], nn.Module]


def parameters(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in find_architecture(name).build(**options).parameters())


@pytest.mark.parametrize(
    ("name", "without", "with_auxiliary"),
    [
        ("googlenet", 6_624_904, 13_004_888),  # torchvision's
        ("googlenet_paper", 6_998_552, 13_378_280),  # Caffe's bvlc_googlenet
    ],
)
def test_published_number_of_parameters(name: str, without: int, with_auxiliary: int) -> None:
    assert parameters(name) == without
    assert parameters(name, auxiliary=True) == with_auxiliary


def test_modules_without_bottlenecks_have_14_times_the_parameters() -> None:
    channels, total = 192, 9_472 + 4_160 + 110_784  # the stem's, as in the docstring's table
    for ones, _, threes, _, fives, _ in (table for _, table in STAGES if table):
        filters = ones + threes + fives
        total += channels * (ones + 9 * threes + 25 * fives) + filters
        channels += filters  # the pooling keeps what came in
    assert parameters("googlenet_naive") == total + 1000 * channels + 1000 == 97_526_008


def test_the_lectures_5_million_are_6_without_the_classifier() -> None:
    """The lecture: about 5 M parameters, 12 times fewer than AlexNet, 27 times fewer than VGG-16.

    The two ratios are those of 5 M exactly. The network of the paper's table 1 has 7.0 M, of which its linear layer is
    1.0 M: 10 and 23 times fewer without that layer, 9 and 20 times fewer with it.
    """
    alexnet, vgg16 = 60_965_224, 138_357_544
    assert (alexnet // 5_000_000, vgg16 // 5_000_000) == (12, 27)
    whole = parameters("googlenet_paper")
    with torch.device("meta"):
        features = sum(p.numel() for p in find_architecture("googlenet_paper").build().features.parameters())
    assert (features, whole - features) == (5_973_552, 1_025_000)
    assert [round(other / ours) for ours in (features, whole) for other in (alexnet, vgg16)] == [10, 23, 9, 20]


def test_logits_are_torchvisions(largest_difference: Callable[..., float]) -> None:
    theirs = googlenet(aux_logits=False, init_weights=False)
    assert largest_difference("googlenet", theirs, torch.randn(2, 3, 64, 64)) <= 1e-5


def test_auxiliary_logits_are_torchvisions(randomise: Randomise) -> None:
    architecture = find_architecture("googlenet")
    theirs = randomise(googlenet(init_weights=False))
    with torch.device("meta"):  # no time for initial weights
        ours = architecture.build(auxiliary=True).eval()
    ours.load_state_dict(architecture.convert(theirs.state_dict()), assign=True)
    theirs.training = True  # of the network alone, not of its layers: it answers with its auxiliary logits too
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(x)
        logits, first, second = ours.forward_with_auxiliary(x)
    torch.testing.assert_close(logits, expected.logits)
    torch.testing.assert_close(first, expected.aux_logits1)
    torch.testing.assert_close(second, expected.aux_logits2)


def test_our_own_names_pass_through_the_key_rules() -> None:
    with torch.device("meta"):
        own = GoogLeNet(auxiliary=True).state_dict()
    assert list(find_architecture("googlenet").convert(own)) == list(own)


def test_maps_are_those_of_the_papers_table() -> None:
    with torch.device("meta"):
        x, maps = torch.zeros(1, 3, 224, 224), {}
        for name, stage in find_architecture("googlenet_paper").build().features.named_children():
            x = stage(x)
            maps[name] = tuple(x.shape[1:])
    expected = {
        "conv1": (64, 112, 112),
        "pool1": (64, 56, 56),
        "conv3": (192, 56, 56),
        "pool2": (192, 28, 28),
        "inception3a": (256, 28, 28),
        "inception3b": (480, 28, 28),
        "pool3": (480, 14, 14),
        "inception4a": (512, 14, 14),
        "inception4d": (528, 14, 14),
        "inception4e": (832, 14, 14),
        "pool4": (832, 7, 7),
        "inception5b": (1024, 7, 7),
    }
    assert {name: maps[name] for name in expected} == expected


def test_the_paper_normalises_after_the_first_pooling_and_before_the_second() -> None:
    names = [name for name, _ in GoogLeNet(width=8, as_published=True).features.named_children()]
    assert names[:7] == ["conv1", "pool1", "norm1", "conv2", "conv3", "norm2", "pool2"]


@pytest.mark.parametrize(("size", "side"), [(64, 8), (32, 4)])
def test_laid_out_for_small_images_it_divides_them_by_8(size: int, side: int) -> None:
    network = GoogLeNet(classes=2, width=8, size=64, auxiliary=True)
    x = torch.randn(2, 3, size, size)
    assert network.features(x).shape == (2, 128, side, side)
    assert [logits.shape for logits in network.forward_with_auxiliary(x)] == [(2, 2)] * 3


def test_without_heads_there_are_no_auxiliary_logits() -> None:
    with pytest.raises(ValueError, match="auxiliary=True"):
        GoogLeNet(width=8, size=64).forward_with_auxiliary(torch.zeros(1, 3, 64, 64))


def test_without_batch_norm_the_signal_survives_22_layers() -> None:
    torch.manual_seed(0)
    network = find_architecture("googlenet_paper").build(classes=1, width=16, size=64)
    first, second = network.features(torch.randn(2, 3, 64, 64))
    assert (first - second).abs().mean() > 1e-2 * first.abs().mean()
