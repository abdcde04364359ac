"""AlexNet against the paper (Krizhevsky, Sutskever and Hinton 2012), the lecture's table and torchvision."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch
import torchvision
from torch import nn

from facegen.cnn.alexnet import AlexNet
from facegen.cnn.registry import find_architecture


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("alexnet", {}, 60_965_224),  # Caffe's bvlc_alexnet
        ("alexnet", {"groups": 1}, 62_378_344),
        ("alexnet_without_response_norm", {}, 60_965_224),
        ("alexnet_torchvision", {}, 61_100_840),
    ],
)
def test_published_number_of_parameters(name: str, options: dict[str, int], published: int) -> None:
    with torch.device("meta"):
        assert parameters(find_architecture(name).build(**options)) == published


def test_the_lectures_table() -> None:
    x, sizes = torch.zeros(1, 3, 227, 227, device="meta"), [(3, 227)]
    with torch.device("meta"):
        network = AlexNet()
    for name, layer in network.features.named_children():
        x = layer(x)
        if not name.startswith("norm"):
            sizes.append((x.shape[1], x.shape[2]))
    assert sizes == [
        *((3, 227), (96, 55), (96, 27), (256, 27), (256, 13)),
        *((384, 13), (384, 13), (256, 13), (256, 6)),
    ]
    linear = [layer.out_features for layer in network.classifier if isinstance(layer, nn.Linear)]
    assert linear == [4096, 4096, 1000]


def test_response_normalisation_is_the_papers_equation() -> None:
    # Section 3.3: b_i = a_i / (k + α Σ_{j = max(0, i − n/2)}^{min(N − 1, i + n/2)} a_j²)^β. Activations of several
    # hundred, so that α = 1e-4 matters.
    k, n, alpha, beta = 2, 5, 1e-4, 0.75
    maps = 300 * torch.rand(1, 8, 2, 2, dtype=torch.float64)
    expected = torch.empty_like(maps)
    for i in range(8):
        near = maps[:, max(0, i - n // 2) : min(7, i + n // 2) + 1]
        expected[:, i] = maps[:, i] / (k + alpha * (near**2).sum(1)) ** beta
    torch.testing.assert_close(AlexNet(width=8, classes=2).features.norm1(maps), expected)


def test_logits_equal_torchvisions(largest_difference: Callable[..., float]) -> None:
    theirs = torchvision.models.alexnet(num_classes=10)
    x = torch.randn(1, 3, 224, 224)
    assert largest_difference("alexnet_torchvision", theirs, x, classes=10) <= 1e-5


def test_the_papers_initialisation() -> None:
    torch.manual_seed(0)
    network = AlexNet(classes=2)
    assert network.classifier.fc7.weight.std().item() == pytest.approx(0.01, rel=0.01)
    ones = {name for name, tensor in network.named_parameters() if name.endswith("bias") and (tensor == 1).all()}
    zeros = {name for name, tensor in network.named_parameters() if name.endswith("bias") and (tensor == 0).all()}
    assert ones == {
        *(f"features.conv{layer}.conv.bias" for layer in (2, 4, 5)),
        *("classifier.fc6.bias", "classifier.fc7.bias"),
    }
    assert zeros == {"features.conv1.conv.bias", "features.conv3.conv.bias", "classifier.fc8.bias"}


def test_a_narrow_network_starts_with_sums_as_large_as_the_published_one() -> None:
    torch.manual_seed(0)
    assert AlexNet(width=24, classes=2).classifier.fc7.weight.std().item() == pytest.approx(0.01 * sqrt(4), rel=0.01)


def test_logits_of_a_layout_for_small_images_start_with_a_deviation_over_a_tenth() -> None:
    torch.manual_seed(0)
    network = AlexNet(width=24, classes=10, size=64).eval()
    with torch.inference_mode():
        # With the paper's initialisation it would be 4e-5.
        assert 0.1 < network(torch.randn(16, 3, 64, 64)).std(0).mean() < 10


@pytest.mark.parametrize(("size", "positions"), [(32, 3), (48, 5), (64, 6), (96, 6)])
def test_fc6_of_small_images_sees_up_to_6x6_positions(size: int, positions: int) -> None:
    network = AlexNet(width=8, classes=2, size=size)
    assert network.embed(torch.zeros(1, 3, size, size)).shape == (1, 22 * positions**2)


def test_another_norm_takes_the_place_of_response_normalisation() -> None:
    network = AlexNet(width=8, classes=2, norm="batch")
    assert not [layer for layer in network.modules() if isinstance(layer, nn.LocalResponseNorm)]


def test_a_width_that_groups_do_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="7 cannot be divided into 2"):
        AlexNet(width=7)
