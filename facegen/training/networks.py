"""The networks of a recipe: its generator, and the critics that form its discriminator."""

from __future__ import annotations

import torch
from torch import nn

from facegen.cnn.registry import find_architecture
from facegen.errors import InputError
from facegen.gan.critics import FeatureHead, FeatureView, feature_maps
from facegen.gan.discriminators import Discriminator, build_discriminator
from facegen.gan.generators import build_generator
from facegen.training.recipe import Recipe
from facegen.weights.packaged import effnet_lite0_path
from facegen.weights.state_dicts import read_state_dict

#: The names of the critics: of the pixels, and of features. A checkpoint has their heads under these names.
PIXELS, FEATURES = "discriminator", "features"
#: For each critic, the recipe's fields with the weights of R1, R2 and WGAN-GP's penalty. The last applies only to
#: pixels.
PENALTIES = {
    PIXELS: ("r1_gamma", "r2_gamma", "gradient_penalty"),
    FEATURES: ("features_gamma", "features_gamma", None),
}


def generator_of_recipe(recipe: Recipe, size: int) -> nn.Module:
    """Return the untrained generator of a recipe for ``size``×``size`` images.

    Raises:
        ValueError: The architecture cannot make images of this size.
    """
    return build_generator(
        recipe.generator,
        latent_dim=recipe.latent_dim,
        width=recipe.generator_width,
        size=size,
        chroma_cutoff=recipe.chroma_cutoff,
    )


def discriminator_of_recipe(recipe: Recipe, size: int) -> Discriminator:
    """Return the untrained head of a recipe's critic of pixels.

    Raises:
        ValueError: The architecture cannot process images of this size.
    """
    return build_discriminator(
        recipe.discriminator,
        width=recipe.discriminator_width,
        size=size,
        norm=recipe.discriminator_norm,
        weight_norm=recipe.discriminator_weight_norm,
    )


def build_networks(recipe: Recipe, size: int) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return the generator of a recipe, and the heads of its critics by name.

    Their weights are initialised from the recipe's seed.

    Args:
        recipe: The recipe.
        size: Side of the images, in pixels.

    Raises:
        InputError: An architecture does not fit images of this size.
    """
    heads: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            generator = generator_of_recipe(recipe, size)
            if recipe.sees_pixels:
                heads[PIXELS] = discriminator_of_recipe(recipe, size)
        except ValueError as problem:
            raise InputError(f"The recipe {recipe.name} does not fit the dataset: {problem}.") from problem
        if recipe.features:
            heads[FEATURES] = FeatureHead(feature_maps(recipe.features_size), recipe.features_width)
    return generator, heads


def feature_view(recipe: Recipe, dtype: torch.dtype) -> FeatureView:
    """Return the view of the critic of features: the recipe's frozen network with its published weights."""
    state_dict = find_architecture(recipe.features).convert(read_state_dict(effnet_lite0_path()))
    return FeatureView(recipe.features, state_dict, size=recipe.features_size, dtype=dtype)
