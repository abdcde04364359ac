"""Networks of another package: one call makes each known wherever networks are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn

from facegen.cnn.architecture import DISCRIMINATOR, GENERATOR, Architecture
from facegen.cnn.classifier import Classifier
from facegen.cnn.layers import ConvNormAct, normalise_weights
from facegen.cnn.pooling import GlobalPool
from facegen.cnn.registry import ARCHITECTURES, find_architecture, register_architecture
from facegen.errors import InputError
from facegen.training.networks import build_networks
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import save_generator


class OnePixel(nn.Module):
    """A generator of images of one colour."""

    def __init__(self, *, latent_dim: int = 3, width: int = 2, size: int = 8) -> None:
        super().__init__()
        self.colour = nn.Sequential(nn.Linear(latent_dim, width), nn.Linear(width, 3), nn.Tanh())
        self.size = size

    def forward(self, latents: Tensor) -> Tensor:
        return self.colour(latents)[:, :, None, None].expand(-1, -1, self.size, self.size)


class OneLayer(Classifier):
    def __init__(
        self,
        *,
        classes: int = 1,
        in_channels: int = 3,
        width: int = 2,
        size: int = 8,
        norm: str | None = None,
        weight_norm: str | None = None,
    ) -> None:
        super().__init__()
        self.features = ConvNormAct(in_channels, width, norm=norm)
        self.pool = GlobalPool()
        self.classifier = nn.Linear(width, classes)
        normalise_weights(self, weight_norm)


GENERATES = Architecture("one_pixel", OnePixel, (3,), "this test", GENERATOR)
DISCRIMINATES = Architecture("one_layer", OneLayer, (3, 8, 8), "this test", DISCRIMINATOR)


@pytest.fixture
def registered() -> Iterator[None]:
    register_architecture(GENERATES)
    register_architecture(DISCRIMINATES)
    yield
    del ARCHITECTURES["one_pixel"], ARCHITECTURES["one_layer"]


@pytest.mark.usefixtures("registered")
class TestRegistered:
    def test_it_is_found_by_its_name(self) -> None:
        assert find_architecture("one_pixel") is GENERATES

    def test_it_is_listed(self, facegen: Callable[..., Result]) -> None:
        assert facegen("inspect", "--list").stdout.split()[-2:] == ["one_pixel", "one_layer"]

    def test_it_is_inspected(self, facegen: Callable[..., Result]) -> None:
        assert "Conv2d ReLU" in facegen("inspect", "one_layer").stdout

    def test_a_recipe_can_name_it(self) -> None:
        recipe = load_recipe("quick").with_overrides(
            {"generator": "one_pixel", "discriminator": "one_layer", "discriminator_weight_norm": "spectral"}
        )
        generator, heads = build_networks(recipe, 8)
        images = generator(torch.randn(2, recipe.latent_dim))
        assert images.shape == (2, 3, 8, 8)
        assert [head(images).shape for head in heads.values()] == [(2,)]
        assert "network.classifier.parametrizations.weight.original" in heads["discriminator"].state_dict()

    def test_its_generator_is_sampled_where_it_is_registered(
        self, tmp_path: Path, facegen: Callable[..., Result]
    ) -> None:
        recipe, path = load_recipe("quick").with_overrides({"generator": "one_pixel"}), tmp_path / "g.safetensors"
        generator = build_networks(recipe, 8)[0]
        save_generator(path, generator, recipe, size=8, dataset="ab", images_seen=0, score=None)
        words = ("sample", path, tmp_path / "images", "-n", 2, "--device", "cpu")
        assert facegen(*words).exit_code == 0
        entry = ARCHITECTURES.pop("one_pixel")
        outcome = facegen(*words)
        ARCHITECTURES["one_pixel"] = entry
        assert outcome.exit_code == 2
        told = (
            r"Cannot build the generator .*g\.safetensors\. The recipe 'quick' has generator = 'one_pixel', which must"
        )
        assert re.search(told, outcome.stderr)
        assert "To use one of your own, install or import its package." in outcome.stderr

    def test_its_name_is_taken(self) -> None:
        with pytest.raises(ValueError, match="an architecture is called 'one_pixel' already"):
            register_architecture(Architecture("one_pixel", OneLayer, (3, 8, 8), "another test"))

    def test_the_same_again_changes_nothing(self) -> None:
        register_architecture(GENERATES)
        assert ARCHITECTURES["one_pixel"] is GENERATES


def test_what_is_not_registered_is_no_recipes() -> None:
    with pytest.raises(InputError, match="has generator = 'one_pixel', which must be one of dcgan_generator"):
        load_recipe("quick").with_overrides({"generator": "one_pixel"})


def test_an_unknown_role_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match="one_pixel has the role 'critic', which is none of classifier, generator"):
        Architecture("one_pixel", OnePixel, (3,), "this test", "critic")
