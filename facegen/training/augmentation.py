"""The augmentation that a recipe applies to the images its critics see."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.gan.augmentation import (
    adapted_probability,
    augment,
    overfitting_sign,
    parse_policies,
    uniforms_per_image,
)
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe


class Augmentation(nn.Module):
    """A recipe's augmentation policies and their present probability.

    The probability follows the recipe's schedule, or the discriminator's overfitting when the recipe has an
    ``ada_target``.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__()
        self._policies = parse_policies(recipe.augment)
        self._target, self._kimg, self._images = recipe.ada_target, recipe.ada_kimg, recipe.images_per_step
        self.uniforms = uniforms_per_image(self._policies)
        self.probability: Tensor
        self.register_buffer("probability", torch.tensor(recipe.at("augment_probability", 0), device=device))

    @property
    def is_on(self) -> bool:
        return bool(self._policies)

    def forward(self, images: Tensor, uniforms: Tensor) -> Tensor:
        return augment(images, self._policies, uniforms, self.probability) if self._policies else images

    @torch.no_grad()
    def adapt(self, belief: Tensor, scheduled: Tensor, ranks: Ranks) -> None:
        """Update the probability of augmentation after a step.

        With an ``ada_target``, the probability rises when the discriminator is surer of real images than the target,
        and falls otherwise. Without one, it becomes ``scheduled``.

        Args:
            belief: The discriminator's belief that each real image is real: [B], in [0, 1].
            scheduled: The probability according to the recipe's schedule, 0-dim.
            ranks: The ranks over which the measure of overfitting is averaged.
        """
        if not self._target:
            self.probability.copy_(scheduled)
            return
        sign = overfitting_sign(belief - 0.5)
        ranks.average([sign])
        step = adapted_probability(self.probability, sign, target=self._target, images=self._images, kimg=self._kimg)
        self.probability.copy_(step)
