from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.cnn.blocks.gan import SelfModulatedNorm
from facegen.cnn.registry import find_architecture
from facegen.cnn.self_modulation import SelfModulatedGenerator
from facegen.cnn.sngan import SNGANGenerator


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def modulated_norm_parameters(channels: int) -> int:
    return (128 * 32 + 32) + (32 * 2 * channels + 2 * channels)


def test_parameters_are_sngans_with_a_small_network_for_each_norms_affine_pair() -> None:
    channels = [1024, 512, 512, 256, 256, 128, 128, 64, 64]
    with torch.device("meta"):
        ours, sngans = SelfModulatedGenerator(), SNGANGenerator()
    more = sum(modulated_norm_parameters(each) - 2 * each for each in channels)
    assert parameters(ours) == parameters(sngans) + more == 12_446_243


def test_without_modulation_images_are_sngans_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours, sngans = SelfModulatedGenerator(latent_dim=6, width=4), SNGANGenerator(latent_dim=6, width=4)
    for layer in ours.modules():
        if isinstance(layer, SelfModulatedNorm):
            nn.init.zeros_(layer.modulation.weight)
    for mine, theirs in zip(layers(ours), layers(sngans), strict=True):
        theirs.load_state_dict(mine.state_dict())
    latents = torch.randn(4, 6)
    torch.testing.assert_close(ours(latents), sngans(latents))


def layers(generator: nn.Module) -> list[nn.Module]:
    modulation = {
        layer for norm in generator.modules() if isinstance(norm, SelfModulatedNorm) for layer in norm.modules()
    }
    kinds = (nn.Conv2d, nn.Linear)
    return [layer for layer in generator.modules() if isinstance(layer, kinds) and layer not in modulation]


def test_scale_and_shift_are_the_papers_function_of_the_latent() -> None:
    torch.manual_seed(0)
    norm = SelfModulatedNorm(2, 3)
    nn.init.normal_(norm.modulation.bias)
    x, z = torch.randn(5, 2, 4, 4), torch.randn(5, 3)
    normalised = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    hidden = (z @ norm.hidden.weight.T + norm.hidden.bias).clamp_min(0)
    gamma, beta = (hidden @ norm.modulation.weight.T + norm.modulation.bias).split(2, 1)
    expected = (1 + gamma)[:, :, None, None] * normalised + beta[:, :, None, None]
    torch.testing.assert_close(norm(x, z), expected)


def test_the_latent_modulates_every_block() -> None:
    torch.manual_seed(0)
    generator = SelfModulatedGenerator(latent_dim=6, width=2).eval()
    latents = torch.randn(2, 6)
    generator(latents).square().sum().backward()
    for layer in generator.modules():
        if isinstance(layer, SelfModulatedNorm):
            assert layer.hidden.weight.grad.abs().max() > 0


@pytest.mark.parametrize("size", [8, 32, 128])
def test_other_powers_of_two(size: int) -> None:
    generator = find_architecture("self_modulated_generator").build(latent_dim=6, width=2, size=size)
    assert generator(torch.randn(2, 6)).shape == (2, 3, size, size)


def test_a_size_that_doubling_cannot_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="48×48"):
        SelfModulatedGenerator(size=48)
