from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from facegen.cnn.registry import find_architecture

#: As torchvision publishes them.
IMAGENET = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}

#: As https://github.com/osmr/imgclsmob publishes them, with a norm after the stem and another in the first block. The
#: authors' code has one there, which is 2·64 parameters less.
PREACT = {18: 11_687_848, 34: 21_796_008, 50: 25_549_480, 101: 44_541_608, 152: 60_185_256}

#: arXiv:1512.03385, table 6: 0.27M, 0.46M, 0.66M, 0.85M and 1.7M, with 10 classes.
CIFAR = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}


def parameters(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in find_architecture(name).build(**options).parameters())


@pytest.mark.parametrize("depth", IMAGENET)
def test_published_number_of_parameters(depth: int) -> None:
    assert parameters(f"resnet{depth}") == IMAGENET[depth]


@pytest.mark.parametrize("depth", IMAGENET)
def test_torchvisions_weights_give_torchvisions_logits(largest_difference: Callable[..., float], depth: int) -> None:
    theirs = getattr(models, f"resnet{depth}")()
    assert largest_difference(f"resnet{depth}", theirs, torch.randn(1, 3, 64, 64)) < 1e-5


@pytest.mark.parametrize("depth", PREACT)
def test_published_number_of_parameters_with_pre_activation(depth: int) -> None:
    assert parameters(f"preact_resnet{depth}") == PREACT[depth] - 2 * 64


@pytest.mark.parametrize("depth", CIFAR)
@pytest.mark.parametrize("name", ["resnet", "preact_resnet"])
def test_published_number_of_parameters_for_cifar(name: str, depth: int) -> None:
    assert parameters(f"{name}{depth}") == CIFAR[depth]


@pytest.mark.parametrize("depth", [20, 56])
def test_a_plain_network_has_the_parameters_of_the_residual_one_and_no_shortcut(depth: int) -> None:
    assert parameters(f"plain{depth}") == CIFAR[depth]
    with torch.device("meta"):
        names = [name for name, _ in find_architecture(f"plain{depth}").build().named_modules()]
    assert not any("shortcut" in name for name in names)


@pytest.mark.parametrize("depth", CIFAR)
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    with torch.device("meta"):
        network = find_architecture(f"resnet{depth}").build()
    assert sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in network.modules()) == depth


def test_the_stems_activation_is_the_first_pre_activation() -> None:
    first = find_architecture("preact_resnet20").build(width=4).eval().features.layer1[0]
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(first(x), x + first.conv2(first.conv1(x)))


def test_pre_activation_ends_in_a_norm_and_an_activation() -> None:
    features = find_architecture("preact_resnet20").build(width=4).features
    x = torch.randn(8, 3, 32, 32)
    expected = torch.relu(nn.functional.batch_norm(features[:-1](x), None, None, training=True))
    torch.testing.assert_close(features(x), expected)


@pytest.mark.parametrize(
    ("name", "side"), [("resnet18", 8), ("resnet50", 8), ("preact_resnet18", 8), ("resnet20", 16), ("plain20", 16)]
)
def test_laid_out_for_64x64_it_keeps_a_map(name: str, side: int) -> None:
    network = find_architecture(name).build(classes=1, width=8, size=64)
    assert network.features(torch.randn(2, 3, 64, 64)).shape[-2:] == (side, side)


def test_weights_start_with_hes_deviation() -> None:
    torch.manual_seed(0)
    conv = find_architecture("resnet18").build().features.layer3[1].conv1.conv
    # arXiv:1502.01852, equation 14: the variance is 2 / (k²·channels out).
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)
