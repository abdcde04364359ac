"""The DCGAN networks against the published architecture: the table of the authors' code and its PyTorch example."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.cnn.architecture import CLASSIFIER
from facegen.cnn.dcgan import DCGANDiscriminator, DCGANGenerator
from facegen.cnn.registry import find_architecture
from facegen.gan.discriminators import build_discriminator, discriminator_names


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def outputs(layers: list[nn.Module], x: torch.Tensor) -> list[tuple[int, ...]]:
    shapes = []
    for layer in layers:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def published(nz: int = 100, ngf: int = 64, ndf: int = 64) -> tuple[nn.Sequential, nn.Sequential]:
    """Section 3's guidelines at the authors' widths, written out layer by layer in plain torch."""
    up = [(nz, 8 * ngf, 1, 0), (8 * ngf, 4 * ngf, 2, 1), (4 * ngf, 2 * ngf, 2, 1), (2 * ngf, ngf, 2, 1)]
    generator: list[nn.Module] = []
    for inputs, channels, stride, padding in up:
        generator += [nn.ConvTranspose2d(inputs, channels, 4, stride, padding, bias=False)]
        generator += [nn.BatchNorm2d(channels), nn.ReLU()]
    generator += [nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False), nn.Tanh()]
    discriminator: list[nn.Module] = [nn.Conv2d(3, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for factor in (1, 2, 4):
        discriminator += [nn.Conv2d(ndf * factor, 2 * ndf * factor, 4, 2, 1, bias=False)]
        discriminator += [nn.BatchNorm2d(2 * ndf * factor), nn.LeakyReLU(0.2)]
    discriminator += [nn.Conv2d(8 * ndf, 1, 4, 1, 0, bias=False)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def test_parameter_counts_are_the_published_ones() -> None:
    assert parameters(DCGANGenerator()) == 3_576_704
    assert parameters(DCGANDiscriminator()) == 2_765_568


def test_generator_layer_shapes_are_the_published_ones() -> None:
    generator = DCGANGenerator()
    shapes = outputs([generator.project, *generator.blocks], torch.randn(2, 100, 1, 1))
    assert shapes == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]


def test_discriminator_layer_shapes_are_the_published_ones() -> None:
    discriminator = DCGANDiscriminator()
    shapes = outputs([*discriminator.features], torch.randn(2, 3, 64, 64))
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_outputs_equal_the_published_layers_with_the_same_weights() -> None:
    for ours, theirs, x in zip(
        (DCGANGenerator(), DCGANDiscriminator()),
        published(),
        (torch.randn(4, 100), torch.randn(4, 3, 64, 64)),
        strict=True,
    ):
        weights = dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
        theirs.load_state_dict({key: weights[key].reshape(tensor.shape) for key, tensor in theirs.state_dict().items()})
        reference = theirs(x[:, :, None, None] if x.ndim == 2 else x).reshape(ours(x).shape)
        torch.testing.assert_close(ours(x), reference)


def test_weights_start_as_normal_with_deviation_0_02() -> None:
    torch.manual_seed(0)
    for network in (DCGANGenerator(), DCGANDiscriminator()):
        convolutions = torch.cat([p.flatten() for p in network.parameters() if p.ndim == 4])
        assert abs(convolutions.mean()) < 1e-4 and abs(convolutions.std() - 0.02) < 1e-4


@pytest.mark.parametrize("size", [8, 32, 128])
def test_other_powers_of_two(size: int) -> None:
    images = DCGANGenerator(width=2, size=size)(torch.randn(2, 100))
    assert images.shape == (2, 3, size, size)
    assert DCGANDiscriminator(width=2, size=size)(images).shape == (2, 1)


def test_a_size_that_doubling_cannot_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="48×48"):
        DCGANGenerator(size=48)


@pytest.mark.parametrize("name", discriminator_names())
def test_every_backbone_is_a_discriminator_of_64x64(name: str) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator(name, width=8, size=64)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    # G learns through it: every pixel has a say.
    assert images.grad is not None and (images.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("name", [name for name in discriminator_names() if find_architecture(name).role == CLASSIFIER])
def test_backbones_keep_positions_enough_for_64x64(name: str) -> None:
    features = build_discriminator(name, width=8, size=64).network.features
    assert features(torch.randn(2, 3, 64, 64)).shape[-1] >= 4


@pytest.mark.parametrize("name", ["dcgan_discriminator", "vgg11", "resnet20", "densenet121", "googlenet"])
def test_spectral_norm_bounds_every_layer_of_a_backbone(name: str) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator(name, width=8, size=64, norm="none", weight_norm="spectral")
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in discriminator.modules())
    layers = [layer for layer in discriminator.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for _ in range(20):  # each forward pass in training mode takes one step of the power iteration
        discriminator(torch.randn(2, 3, 64, 64))
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.3)


def test_an_option_that_a_network_has_not_is_named() -> None:
    """Those that come with facegen have all of them; a registered one may not."""
    with pytest.raises(ValueError, match="the network blur has no classes and no size and no width to choose"):
        build_discriminator("blur", width=8, size=64)


def test_a_norm_can_be_left_out() -> None:
    discriminator = build_discriminator("resnet20", width=8, size=64, norm="none")
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in discriminator.modules())


@pytest.mark.parametrize(
    ("name", "width", "tensors", "total"),
    [("dcgan_discriminator", 4, 9, 12.700654), ("sngan_discriminator", 4, 40, 407.14129),
     ("r3gan_discriminator", 8, 78, 2235.06945)],
)  # fmt: skip
def test_a_seeds_weights_under_spectral_norm_are_those_of_the_first_version(
    name: str, width: int, tensors: int, total: float
) -> None:
    """Figures of the version in which spectral norm was one of ``norm``'s names; the order of draws is in them."""
    torch.manual_seed(0)
    weights = build_discriminator(name, width=width, size=16, norm="none", weight_norm="spectral").state_dict()
    assert len(weights) == tensors
    learned = [weight.double().abs().sum().item() for key, weight in weights.items() if key.endswith(".original")]
    assert sum(learned) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(
    "name", ["dcgan_discriminator", "r3gan_discriminator", "lenet5_1998", "resnet20", "densenet121"]
)
def test_spectral_norm_adds_two_vectors_to_a_weight_and_renames_it(name: str) -> None:
    """The keys that checkpoints have."""
    plain, spectral = (
        set(build_discriminator(name, width=8, size=32, norm="none", weight_norm=weight_norm).state_dict())
        for weight_norm in ("none", "spectral")
    )
    originals = {key for key in spectral if key.endswith(".parametrizations.weight.original")}
    vectors = {key.replace(".original", f".0._{vector}") for key in originals for vector in "uv"}
    assert originals and spectral - originals == vectors | (spectral & plain)
    assert {key.replace(".parametrizations.weight.original", ".weight") for key in originals} == plain - spectral
