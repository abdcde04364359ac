"""Recipes as earlier versions wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from facegen.errors import InputError
from facegen.gan.discriminators import discriminator_names
from facegen.training.former_recipes import WITHOUT_THEIR_NORM
from facegen.training.networks import build_networks
from facegen.training.recipe import load_recipe, recipe_from_dict

#: Fields' names before a score was called one, with values that no shipped recipe has.
FORMER = {"fid_every": 12.5, "fid_images": 77}


def test_a_recipe_with_former_names_is_the_same_recipe(tmp_path: Path) -> None:
    present = load_recipe("quick").with_overrides({"score_every": 12.5, "score_images": 77})
    former = present.to_toml().replace("score_every", "fid_every").replace("score_images", "fid_images")
    (tmp_path / "former.toml").write_text(former, encoding="utf-8")
    loaded = load_recipe(tmp_path / "former.toml")
    assert loaded == present == load_recipe("quick").with_overrides(FORMER)
    assert "score_every = 12.5\nscore_images = 77\n" in loaded.to_toml() and "fid" not in loaded.to_toml()


def test_a_field_by_both_of_its_names_is_an_error() -> None:
    values = {**load_recipe("quick").to_dict(), **FORMER}
    with pytest.raises(InputError, match=r"mine has both score_every and fid_every, its former name\."):
        recipe_from_dict(values, "mine")


@pytest.mark.parametrize("loaded", [True, False])
def test_an_old_recipes_spectral_norm_is_a_weight_norm(loaded: bool) -> None:
    old = {**load_recipe("dcgan").to_dict(), "discriminator_norm": "spectral"}
    del old["discriminator_weight_norm"]
    recipe = recipe_from_dict(old, "an old run") if loaded else load_recipe("dcgan").with_overrides(old)
    assert (recipe.discriminator_norm, recipe.discriminator_weight_norm) == ("none", "spectral")


def test_spectral_norm_beside_another_weight_norm_is_an_error() -> None:
    values = {**load_recipe("dcgan").to_dict(), "discriminator_norm": "spectral", "discriminator_weight_norm": "none"}
    with pytest.raises(InputError, match=r"mine has discriminator_norm = 'spectral', which is a weight norm, and "):
        recipe_from_dict(values, "mine")


@pytest.mark.parametrize("name", ["alexnet", "googlenet_paper"])
def test_an_old_recipes_spectral_norm_leaves_the_response_norms_that_it_left(name: str) -> None:
    """It took the place of AlexNet's, and stood beside GoogLeNet's."""
    small = {"discriminator": name, "discriminator_width": 8}
    recipe = load_recipe("dcgan").with_overrides({**small, "discriminator_norm": "spectral"})
    _, heads = build_networks(recipe, 32)
    kept = [layer for layer in heads["discriminator"].modules() if isinstance(layer, nn.LocalResponseNorm)]
    assert len(kept) == (0 if name == "alexnet" else 2)


def test_networks_by_present_names_are_there() -> None:
    assert set(WITHOUT_THEIR_NORM.values()) <= set(discriminator_names())
