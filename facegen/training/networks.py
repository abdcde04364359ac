"""The networks of a recipe: its generator, and the critics that make up its discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facegen.cnn.registry import find_architecture
from facegen.errors import InputError
from facegen.gan.critics import FeatureHead, FeatureView, Seen, feature_maps
from facegen.gan.discriminators import build_discriminator
from facegen.gan.generators import build_generator
from facegen.training.objective import GradientFunction, PenaltyWeights
from facegen.training.recipe import Recipe
from facegen.weights.packaged import effnet_lite0_path
from facegen.weights.state_dicts import read_state_dict

#: What the critics see, and what their heads are called in a checkpoint.
PIXELS, FEATURES = "discriminator", "features"
#: The fields with the weights of each one's penalties: R1, R2 and WGAN-GP's, which is of pixels alone.
PENALTIES = {
    PIXELS: ("r1_gamma", "r2_gamma", "gradient_penalty"),
    FEATURES: ("features_gamma", "features_gamma", None),
}


def generator_of_recipe(recipe: Recipe, size: int) -> nn.Module:
    """G of a recipe for ``size``×``size`` images; ValueError where its architecture cannot make them."""
    return build_generator(
        recipe.generator,
        latent_dim=recipe.latent_dim,
        width=recipe.generator_width,
        size=size,
        chroma_cutoff=recipe.chroma_cutoff,
    )


def build_networks(recipe: Recipe, size: int) -> tuple[nn.Module, dict[str, nn.Module]]:
    """G, and the head of each critic, of a recipe for ``size``×``size`` images, initialised from its seed.

    Raises:
        InputError: the architecture cannot make images of that size.
    """
    heads: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            generator = generator_of_recipe(recipe, size)
            if recipe.sees_pixels:
                heads[PIXELS] = build_discriminator(
                    recipe.discriminator,
                    width=recipe.discriminator_width,
                    size=size,
                    norm=recipe.discriminator_norm,
                    weight_norm=recipe.discriminator_weight_norm,
                )
        except ValueError as problem:
            raise InputError(f"The recipe {recipe.name} does not fit the dataset: {problem}.") from problem
        if recipe.features:
            heads[FEATURES] = FeatureHead(feature_maps(recipe.features_size), recipe.features_width)
    return generator, heads


def feature_view(recipe: Recipe, dtype: torch.dtype) -> FeatureView:
    """What the critic of features sees through: the recipe's frozen network, with its published weights."""
    state_dict = find_architecture(recipe.features).convert(read_state_dict(effnet_lite0_path()))
    return FeatureView(recipe.features, state_dict, size=recipe.features_size, dtype=dtype)


class CriticInputs(NamedTuple):
    """What a critic sees in one update. G's gradient flows through what is ``fake`` where the recipe has features."""

    real: Seen
    fake: Seen
    pooled_real: Tensor | None = None
    pooled_fake: Tensor | None = None


@dataclass(frozen=True)
class Critic:
    """One of those that make up a discriminator.

    Attributes:
        head: what learns. Of what it sees it makes logits: [B], or [B, L] of patches.
        view: makes what it sees of images; None: it sees the images themselves.
        weights: of the penalties on its gradient.
        gradients: those of its loss as one compiled graph, where the recipe is compiled and has penalties.
    """

    head: nn.Module
    view: FeatureView | None
    weights: PenaltyWeights
    gradients: GradientFunction | None

    def inputs(self, real: Tensor, fake: Tensor) -> CriticInputs:
        """What it sees of images, float [B, 3, S, S] each."""
        if self.view is None:
            return CriticInputs(real, fake)
        with torch.no_grad():
            of_real = self.view(real)
        of_fake = self.view(fake)
        return CriticInputs(of_real.maps, of_fake.maps, of_real.pooled, of_fake.pooled)
