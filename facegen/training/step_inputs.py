"""The inputs of a training step: what is drawn for its updates, and where the recipe's schedules stand."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.networks import PENALTIES
from facegen.training.recipe import Recipe
from facegen.training.staging_buffer import StagingBuffer, Tensors, TensorSpec

#: The averaged generator forgets at least a twentieth of what was shown, so that it is not held back by the start
#: (the ramp-up of Karras et al., arXiv:2006.06676).
EMA_RAMP = 0.05

RATES = ("generator_lr", "discriminator_lr")
#: How much of the averaged generator a step replaces, and of G's loss the moments are.
EMA_SHARE, MOMENTS_WEIGHT = "ema_share", "moments_weight"
AUGMENT_PROBABILITY = "augment_probability"


class UpdateInputs(NamedTuple):
    """What is drawn for one update of D, this rank's share of it, on the device."""

    latents: Tensor
    sent: Tensor
    mirrored: Tensor | None
    mix: Tensor
    uniforms: tuple[Tensor, Tensor, Tensor]
    """Of the alterations of the real images, of the generated ones, and of those that G learns from."""


class StepInputs:
    """The inputs of a recipe's steps. All that changes from one step to the next is in them.

    Args:
        uniforms: how many an alteration of an image takes.

    Attributes:
        updates: what is drawn for each update of D in a step.
        values: 0-dim float32 each: what the recipe's schedules say at this step.
        rates: the learning rates of G and of D among them, where the optimizers want them.
        rate_factor: what these are of the recipe's: 1, or less in a run that was rolled back.
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
        # Fused Adam reads a rate on a CUDA device there, and would wait for one on another device.
        rates = received if device.type == "cuda" else self._buffer.host()
        self.rates = (rates[RATES[0]], rates[RATES[1]])

    def _update_inputs(self, tensors: Tensors, index: int) -> UpdateInputs:
        of_real, of_fake, of_g = tensors["uniforms"][index]
        mirrored = tensors["mirrored"][index] if self.recipe.mirror else None
        latents, real, mix = (tensors[name][index] for name in ("latents", "real", "mix"))
        return UpdateInputs(latents, real, mirrored, mix, (of_real, of_fake, of_g))

    def load(self, step: int) -> None:
        """Draw what step ``step`` takes, look up its schedules, and hand both to the device."""
        tensors = self._buffer.host()
        for index in range(self.recipe.d_steps):
            self._draw(step * self.recipe.d_steps + index, self._update_inputs(tensors, index))
        for name, value in self._scheduled(step).items():
            tensors[name].fill_(value)
        self._buffer.send()

    def _draw(self, number: int, update: UpdateInputs) -> None:
        """Draw update ``number``, for the global batch: any number of ranks trains on the same inputs."""
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
