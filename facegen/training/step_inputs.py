"""The inputs of a training step: the random draws of its updates, and the values of the recipe's schedules."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.networks import PENALTIES
from facegen.training.recipe import Recipe
from facegen.training.staging_buffer import StagingBuffer, Tensors, TensorSpec

#: The half-life of the EMA is at most this fraction of the images shown, so that the averaged generator soon forgets
#: the start (the ramp-up of Karras et al., arXiv:2006.06676).
EMA_RAMP = 0.05

RATES = ("generator_lr", "discriminator_lr")
#: The names of two values: the fraction of the averaged generator that a step replaces, and the weight of the moments
#: in the generator's loss.
EMA_SHARE, MOMENTS_WEIGHT = "ema_share", "moments_weight"
AUGMENT_PROBABILITY = "augment_probability"


class UpdateInputs(NamedTuple):
    """This rank's share of the random draws for one update of the discriminator, on the device."""

    latents: Tensor
    sent: Tensor
    mirrored: Tensor | None
    mix: Tensor
    uniforms: tuple[Tensor, Tensor, Tensor]
    """Uniforms of the augmentation: for real images, generated images, and those that the generator learns from."""


class StepInputs:
    """The inputs of a recipe's steps. They contain everything that changes from step to step.

    Args:
        recipe: The recipe.
        real: The batches of real images.
        uniforms: Number of uniform random numbers that the augmentation takes for an image.
        device: The device that reads the inputs.
        ranks: The ranks that share each batch.

    Attributes:
        updates: The draws for each update of the discriminator in a step.
        values: The values of the recipe's schedules at this step, 0-dim float32 each.
        rates: The learning rates of the generator and of the discriminator, on the device where the optimizers need
            them.
        rate_factor: Factor of the recipe's learning rates: 1, or less in a run that was rolled back.
    """

    def __init__(self, recipe: Recipe, real: RealImages, uniforms: int, device: torch.device, ranks: Ranks) -> None:
        self.recipe, self.rate_factor = recipe, 1.0
        self._real, self._ranks, self._uniforms = real, ranks, uniforms
        penalties = {field for fields in PENALTIES.values() for field in fields if field and getattr(recipe, field)}
        self._penalties = sorted(penalties)
        names = (*RATES, EMA_SHARE, MOMENTS_WEIGHT, AUGMENT_PROBABILITY, *self._penalties)
        share = recipe.batch // ranks.world
        drawn = {
            "latents": TensorSpec((share, recipe.latent_dim)),
            "real": real.spec,
            "mix": TensorSpec((share,)),
            "uniforms": TensorSpec((3, share, uniforms)),
        }
        if recipe.mirror:
            drawn["mirrored"] = TensorSpec((share,), torch.bool)
        specs = {name: TensorSpec((recipe.d_steps, *spec.shape), spec.dtype) for name, spec in drawn.items()}
        self._buffer = StagingBuffer({**specs, **dict.fromkeys(names, TensorSpec(()))}, device)
        received = self._buffer.on_device
        self.updates = [self._update_inputs(received, index) for index in range(recipe.d_steps)]
        self.values = {name: received[name] for name in names}
        # Fused Adam on a CUDA device reads the rate there. It would have to wait for a rate on another device.
        rates = received if device.type == "cuda" else self._buffer.host()
        self.rates = (rates[RATES[0]], rates[RATES[1]])

    def _update_inputs(self, tensors: Tensors, index: int) -> UpdateInputs:
        of_real, of_fake, of_g = tensors["uniforms"][index]
        mirrored = tensors["mirrored"][index] if self.recipe.mirror else None
        latents, real, mix = (tensors[name][index] for name in ("latents", "real", "mix"))
        return UpdateInputs(latents, real, mirrored, mix, (of_real, of_fake, of_g))

    def load(self, step: int) -> None:
        """Draw the inputs of step ``step``, look up its schedules, and send both to the device."""
        tensors = self._buffer.host()
        for index in range(self.recipe.d_steps):
            self._draw(step * self.recipe.d_steps + index, self._update_inputs(tensors, index))
        for name, value in self._scheduled(step).items():
            tensors[name].fill_(value)
        self._buffer.send()

    def _draw(self, number: int, update: UpdateInputs) -> None:
        """Draw the inputs of update ``number`` for the global batch, whatever the number of ranks."""
        recipe = self.recipe
        draw = seeded(recipe.seed, STEP, number)

        def share(whole: Tensor, drawn: Tensor) -> None:
            drawn.copy_(self._ranks.shard(whole))

        share(torch.randn(recipe.batch, recipe.latent_dim, generator=draw), update.latents)
        if update.mirrored is not None:
            share(torch.rand(recipe.batch, generator=draw) < 0.5, update.mirrored)
        share(torch.rand(recipe.batch, generator=draw), update.mix)
        for uniforms in update.uniforms:
            share(torch.rand(recipe.batch, self._uniforms, generator=draw), uniforms)
        self._real.fill(number, update.sent)

    def _scheduled(self, step: int) -> dict[str, float]:
        recipe = self.recipe
        before, after = step * recipe.images_per_step, (step + 1) * recipe.images_per_step
        half_life = min(recipe.at("ema_half_life_kimg", after) * 1000, after * EMA_RAMP)
        return {
            **{name: self.rate_factor * recipe.at(name, before) for name in RATES},
            **{name: recipe.at(name, before) * recipe.penalty_every for name in self._penalties},
            EMA_SHARE: 1 - 0.5 ** (recipe.images_per_step / half_life) if half_life else 1.0,
            MOMENTS_WEIGHT: recipe.at("moments_weight", before),
            AUGMENT_PROBABILITY: recipe.at("augment_probability", after),
        }
