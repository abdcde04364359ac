"""How a generator's images are drawn, and its statistics taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facegen.cnn.dcgan import DCGANGenerator
from facegen.gan.generators import draw_images, generator_names, image_chunks, standing_statistics, to_uint8
from facegen.gan.latents import normal_latents


class Generator(nn.Module):
    """Latents [B, 12] as images [B, 3, 2, 2]; remembers how many it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.given: list[int] = []

    def forward(self, latents: Tensor) -> Tensor:
        self.given.append(len(latents))
        return (self.scale * latents).tanh().unflatten(1, (3, 2, 2))


@pytest.mark.parametrize(("count", "chunk", "given"), [(33, 32, [32, 32]), (5, 2, [2, 2, 2]), (4, 4, [4])])
def test_the_generator_is_always_given_a_whole_chunk(count: int, chunk: int, given: list[int]) -> None:
    generator = Generator()
    images = draw_images(generator, normal_latents(0, 0, count, 12), chunk)
    assert (generator.given, len(images)) == (given, count)


def test_every_latent_has_its_own_image_in_order() -> None:
    generator, latents = Generator(), normal_latents(0, 0, 33, 12)
    expected = to_uint8(generator(latents)).numpy()
    np.testing.assert_array_equal(draw_images(generator, latents), expected)


def test_chunks_are_floats_in_the_generators_range_without_gradients() -> None:
    first, second = image_chunks(Generator(), normal_latents(0, 0, 5, 12), 3)
    assert (first.shape, second.shape) == ((3, 3, 2, 2), (2, 3, 2, 2))
    assert first.dtype == torch.float32 and first.abs().max() <= 1 and not first.requires_grad


def test_what_a_recipe_can_name_makes_images() -> None:
    assert {"dcgan_generator", "sngan_generator"} <= set(generator_names())
    assert "dcgan_discriminator" not in generator_names()


def test_denormalisation_inverts_the_normalisation_of_every_pixel_value() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    normalised = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(to_uint8(normalised), pixels)


def test_standing_statistics_are_those_of_the_latents() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(latent_dim=4, width=2, size=8).eval()
    latents = torch.randn(64, 4)
    standing_statistics(generator, latents, batch=64)
    projected = generator.project.conv(latents[:, :, None, None])
    torch.testing.assert_close(generator.project.norm.running_mean, projected.mean((0, 2, 3)))
    torch.testing.assert_close(generator.project.norm.running_var, projected.var((0, 2, 3)))
    assert not generator.training and generator.project.norm.momentum == 0.1
