"""R3GAN's networks held to the layer list of the authors' code, written out in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.inspect import layer_table
from facegen.cnn.r3gan import R3GANDiscriminator, R3GANGenerator
from facegen.cnn.registry import find_architecture
from facegen.gan.discriminators import NORMS, WEIGHT_NORMS, build_discriminator

Copy = Callable[[nn.Module, nn.Module], None]

#: The presets' channels from the latent to the image.
FFHQ_64 = [768, 768, 768, 768, 384]
FFHQ_256 = [768, 768, 768, 768, 384, 192, 96]
CIFAR10 = [768, 768, 768, 768]
SMALL = [384, 384, 384, 192, 96]

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])).reshape(1, 1, 4, 4) / 64


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.linear1, self.bias1 = nn.Parameter(torch.empty(wide, channels, 1, 1)), nn.Parameter(torch.empty(wide))
        self.linear2, self.bias2 = nn.Parameter(torch.empty(wide, 16, 3, 3)), nn.Parameter(torch.empty(wide))
        self.linear3 = nn.Parameter(torch.empty(channels, wide, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(F.conv2d(x, self.linear1) + self.bias1.reshape(1, -1, 1, 1), 0.2)
        y = F.conv2d(y, self.linear2, padding=1, groups=y.shape[1] // 16)
        y = F.leaky_relu(y + self.bias2.reshape(1, -1, 1, 1), 0.2)
        return x + F.conv2d(y, self.linear3)


class Resample(nn.Module):
    def __init__(self, up: bool) -> None:
        super().__init__()
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        single = x.flatten(0, 1).unsqueeze(1)
        if self.up:
            y = F.conv_transpose2d(single, 4 * FILTER.to(x), stride=2, padding=1)
        else:
            y = F.conv2d(single, FILTER.to(x), stride=2, padding=1)
        return y.reshape(*x.shape[:2], *y.shape[2:])


class Weighted(nn.Module):
    """The 4×4 maps, which the latent scales or which weigh D's last positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.empty(channels, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return torch.einsum("bc,chw->bchw", x, self.maps)
        return torch.einsum("bchw,chw->bc", x, self.maps)


def pointwise(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 1, bias=False)] if before != after else []


def published(latent_dim: int, widths: list[int]) -> tuple[nn.Sequential, nn.Sequential]:
    """G and D of two blocks a stage; ``widths`` from the latent to the image."""
    generator = [nn.Linear(latent_dim, widths[0], bias=False), Weighted(widths[0]), Block(widths[0]), Block(widths[0])]
    for before, after in pairwise(widths):
        generator += [*pointwise(before, after), Resample(up=True), Block(after), Block(after)]
    generator += [nn.Conv2d(widths[-1], 3, 1, bias=False)]
    discriminator = [nn.Conv2d(3, widths[-1], 1, bias=False)]
    for before, after in pairwise(widths[::-1]):
        discriminator += [Block(before), Block(before), Resample(up=False), *pointwise(before, after)]
    discriminator += [Block(widths[0]), Block(widths[0]), Weighted(widths[0]), nn.Linear(widths[0], 1, bias=False)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("widths", "options", "counts"),
    [
        (FFHQ_64, {}, (22_429_824, 22_381_440)),
        (FFHQ_256, {"width": 96, "widest": 8, "size": 256}, (23_057_952, 23_009_568)),
        (CIFAR10, {"width": 768, "widest": 1, "size": 32}, (20_732_160, 20_683_776)),
        (SMALL, {"width": 96, "widest": 4}, (4_871_712, 4_847_520)),
    ],
)
def test_parameter_counts_are_those_of_the_layer_list(
    widths: list[int], options: dict[str, int], counts: tuple[int, int]
) -> None:
    with torch.device("meta"):
        assert tuple(map(parameters, published(64, widths))) == counts
        assert (parameters(R3GANGenerator(**options)), parameters(R3GANDiscriminator(**options))) == counts


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_the_small_pair_is_the_tapered_one(name: str) -> None:
    with torch.device("meta"):
        network = find_architecture(f"r3gan_small_{name}").build()
    assert parameters(network) == {"generator": 4_871_712, "discriminator": 4_847_520}[name]


@pytest.mark.parametrize("widest", [2, 4])
def test_outputs_equal_the_published_layers_with_the_same_weights(copy_in_order: Copy, widest: int) -> None:
    torch.manual_seed(0)
    widths = [min(2**step, widest) * 8 for step in reversed(range(4))]
    theirs = published(6, widths)
    options = {"width": 8, "widest": widest, "size": 32}
    ours = R3GANGenerator(latent_dim=6, **options), R3GANDiscriminator(**options)
    for their, our, x in zip(theirs, ours, (torch.randn(4, 6), torch.randn(4, 3, 32, 32)), strict=True):
        for parameter in their.parameters():
            nn.init.normal_(parameter, std=0.3)  # zeros would hide a branch
        copy_in_order(their, our)
        expected = their(x)
        torch.testing.assert_close(our(x), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_weights_start_as_the_authors_and_blocks_as_the_identity() -> None:
    torch.manual_seed(0)
    discriminator = R3GANDiscriminator(width=64, size=64)
    block = discriminator.features[1][0][0]
    # √(2/1.04) of LeakyReLU(0.2), by ten blocks to the power −1/4, by √fan-in.
    gain = sqrt(2 / 1.04) * 10**-0.25
    assert block.conv1.conv.weight.std().item() == pytest.approx(gain / sqrt(64), rel=0.02)
    assert block.conv2.conv.weight.std().item() == pytest.approx(gain / sqrt(16 * 9), rel=0.02)
    assert discriminator.pool.weight.std().item() == pytest.approx(1 / 4, rel=0.05)
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("width", "groups"), [(2, 1), (8, 1), (10, 1), (16, 2), (20, 2), (24, 3), (96, 12), (384, 48)])
def test_groups_have_16_channels_where_they_divide(width: int, groups: int) -> None:
    with torch.device("meta"):
        block = R3GANDiscriminator(width=width, widest=1, size=8).features[1][0][0]
    assert block.conv2.conv.groups == groups


@pytest.mark.parametrize("size", [8, 128])
def test_other_powers_of_two(size: int) -> None:
    images = R3GANGenerator(width=2, size=size)(torch.randn(2, 64))
    assert images.shape == (2, 3, size, size)
    assert R3GANDiscriminator(width=2, size=size)(images).shape == (2, 1)


def test_a_size_that_doubling_cannot_reach_is_an_error() -> None:
    for network in (R3GANGenerator, R3GANDiscriminator):
        with pytest.raises(ValueError, match="48×48"):
            network(size=48)


@pytest.mark.parametrize("weight_norm", WEIGHT_NORMS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_gives_finite_logits_and_gradients(norm: str, weight_norm: str) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator("r3gan_discriminator", width=8, size=16, norm=norm, weight_norm=weight_norm)
    logits = discriminator(torch.randn(4, 3, 16, 16))
    logits.sum().backward()
    assert logits.isfinite().all() and logits.std() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())


@pytest.fixture
def discriminator() -> R3GANDiscriminator:
    """A small one in float64, with no weight at zero."""
    torch.manual_seed(0)
    network = R3GANDiscriminator(width=4, size=8).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def r1(discriminator: nn.Module, weights: dict[str, Tensor], images: Tensor) -> Tensor:
    logits = torch.func.functional_call(discriminator, weights, (images,))
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum()


def test_gradient_of_the_gradient_penalty_is_that_of_finite_differences(discriminator: R3GANDiscriminator) -> None:
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    weights = dict(discriminator.named_parameters())
    directions = {name: torch.randn_like(weight) for name, weight in weights.items()}
    # Biases only move LeakyReLU's kinks: they have no gradient here.
    gradients = torch.autograd.grad(r1(discriminator, weights, images), [*weights.values()], allow_unused=True)
    pairs = zip(gradients, directions.values(), strict=True)
    expected = sum((gradient * direction).sum() for gradient, direction in pairs if gradient is not None)
    ahead, behind = (
        r1(discriminator, {name: weight + step * directions[name] for name, weight in weights.items()}, images)
        for step in (1e-6, -1e-6)
    )
    torch.testing.assert_close((ahead - behind) / 2e-6, expected, rtol=1e-6, atol=0)


def test_functional_gradient_is_autograds(discriminator: R3GANDiscriminator) -> None:
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(discriminator(images).sum(), images)
    gradient = torch.func.grad(lambda x: discriminator(x).sum())(images.detach())
    torch.testing.assert_close(gradient, expected)


def test_is_one_graph_to_the_compiler(discriminator: R3GANDiscriminator) -> None:
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    compiled = torch.compile(discriminator, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images), discriminator(images))


def test_channels_last_goes_through() -> None:
    generator = R3GANGenerator(width=8, size=16).to(memory_format=torch.channels_last)
    discriminator = R3GANDiscriminator(width=8, size=16).to(memory_format=torch.channels_last)
    images = generator(torch.randn(2, 64))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert discriminator.features(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("name", ["r3gan", "r3gan_small"])
def test_the_layer_table_has_every_parameter(name: str, role: str) -> None:
    architecture = find_architecture(f"{name}_{role}")
    with torch.device("meta"):
        network = architecture.build()
    rows = layer_table(network, architecture.random_input())
    assert sum(row.parameters for row in rows) == parameters(network)


def test_receptive_field_by_hand() -> None:
    # Two 3×3 at stride 1 see 5 pixels, the filter of 4 makes it 8, two 3×3 at stride 2 see 4·2 more.
    rows = layer_table(R3GANDiscriminator(width=4, size=8), torch.randn(1, 3, 8, 8))
    fields = [row.receptive_field for row in rows]
    assert (5, 5) in fields and (8, 8) in fields and fields[-3] == (16, 16)
