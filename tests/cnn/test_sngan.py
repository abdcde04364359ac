"""SNGAN's networks held to the authors' 64×64 ones, written out in plain torch in the authors' order."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from facegen.cnn.inspect import layer_table
from facegen.cnn.registry import find_architecture
from facegen.cnn.sngan import SNGANDiscriminator, SNGANGenerator
from facegen.gan.discriminators import build_discriminator

Copy = Callable[[nn.Module, nn.Module], None]


class PublishedUp(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.b1 = nn.BatchNorm2d(inputs)
        self.c1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.b2 = nn.BatchNorm2d(outputs)
        self.c2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c1(twice(F.relu(self.b1(x))))
        return self.c2(F.relu(self.b2(y))) + self.shortcut(twice(x))


def twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class PublishedGenerator(nn.Module):
    def __init__(self, latent_dim: int = 128, ch: int = 64) -> None:
        super().__init__()
        self.l1 = nn.Linear(latent_dim, 16 * ch * 16)
        self.blocks = nn.Sequential(*(PublishedUp(2 * k * ch, k * ch) for k in (8, 4, 2, 1)))
        self.b6 = nn.BatchNorm2d(ch)
        self.l6 = nn.Conv2d(ch, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.l1(z).reshape(len(z), -1, 4, 4)
        return torch.tanh(self.l6(F.relu(self.b6(self.blocks(maps)))))


class PublishedDown(nn.Module):
    def __init__(self, inputs: int, outputs: int, first: bool) -> None:
        super().__init__()
        hidden = outputs if first else inputs
        self.first = first
        self.c1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.c2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c2(F.relu(self.c1(x if self.first else F.relu(x))))
        return F.avg_pool2d(y, 2) + F.avg_pool2d(self.shortcut(x), 2)


class PublishedDiscriminator(nn.Module):
    """Without the spectral norm."""

    def __init__(self, ch: int = 64) -> None:
        super().__init__()
        widths = [3, ch, 2 * ch, 4 * ch, 8 * ch, 16 * ch]
        self.blocks = nn.Sequential(*(PublishedDown(*widths[i : i + 2], first=not i) for i in range(5)))
        self.l6 = nn.Linear(16 * ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.l6(F.relu(self.blocks(x)).sum((2, 3)))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_are_the_published_layers() -> None:
    with torch.device("meta"):
        assert parameters(SNGANGenerator()) == parameters(PublishedGenerator()) == 12_220_675
        assert parameters(SNGANDiscriminator()) == parameters(PublishedDiscriminator()) == 10_141_441


def test_images_equal_the_published_layers_with_the_same_weights(copy_in_order: Copy) -> None:
    torch.manual_seed(0)
    ours, theirs = SNGANGenerator(latent_dim=6, width=4), PublishedGenerator(6, 4)
    copy_in_order(theirs, ours)
    latents = torch.randn(4, 6)
    torch.testing.assert_close(ours(latents), theirs(latents))


def test_logits_equal_the_published_layers_with_the_same_weights(copy_in_order: Copy) -> None:
    torch.manual_seed(0)
    ours, theirs = SNGANDiscriminator(width=4, weight_norm=None), PublishedDiscriminator(4)
    copy_in_order(theirs, ours)
    images = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("weight_norm", ["published", "spectral"])
def test_every_weight_has_spectral_norm_once_and_from_the_start(weight_norm: str) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator("sngan_discriminator", width=8, size=32, weight_norm=weight_norm).eval()
    layers = [layer for layer in discriminator.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 4 * 3 + 1
    for layer in layers:
        assert len(layer.parametrizations.weight) == 1
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.1)


def test_another_norm_takes_the_place_of_the_published_weight_norm() -> None:
    discriminator = build_discriminator("sngan_discriminator", width=4, size=64, norm="batch")
    assert not any(is_parametrized(layer) for layer in discriminator.modules())
    # Before each ReLU: two a block, but one in the first, and one behind the last.
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.modules()) == 2 * 5 - 1 + 1


@pytest.mark.parametrize("size", [8, 32, 128])
def test_other_powers_of_two(size: int) -> None:
    images = SNGANGenerator(latent_dim=6, width=2, size=size)(torch.randn(2, 6))
    assert images.shape == (2, 3, size, size)
    discriminator = SNGANDiscriminator(width=2, size=size)
    assert discriminator.features(images).shape[2:] == (2, 2)
    assert discriminator(images).shape == (2, 1)


def test_a_size_that_doubling_cannot_reach_is_an_error() -> None:
    for network in (SNGANGenerator, SNGANDiscriminator):
        with pytest.raises(ValueError, match="48×48"):
            network(size=48)


def test_weights_start_as_xaviers_uniform_with_the_authors_gains() -> None:
    torch.manual_seed(0)
    block = SNGANGenerator(width=16, size=16).blocks[0]  # 64 → 32 channels
    # √(6 / (fan-in + fan-out)); in the 3×3 convolutions times √2.
    bounds = {block.conv1.conv: sqrt(2 * 6 / (9 * 96)), block.conv2: sqrt(2 * 6 / (9 * 64)), block.shortcut: 0.25}
    for layer, bound in bounds.items():
        largest = layer.weight.abs().max().item()
        assert bound * 0.99 < largest <= bound and not layer.bias.any()


@pytest.mark.parametrize("name", ["sngan_generator", "sngan_discriminator"])
def test_the_layer_table_has_every_parameter(name: str) -> None:
    architecture = find_architecture(name)
    with torch.device("meta"):
        network = architecture.build()
    rows = layer_table(network, architecture.random_input())
    assert sum(row.parameters for row in rows) == parameters(network)
