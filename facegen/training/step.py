"""One step of the game: D learns from a real and a generated batch, then G learns from D."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from facegen.errors import InputError
from facegen.gan.discriminators import build_discriminator
from facegen.gan.generators import build_generator
from facegen.gan.losses import LOSSES
from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe

#: What a step reports, in this order: the losses, D(x), D(G(z)), and how much G's images differ (the mean over
#: pixels of their standard deviation over the batch).
FIGURES = ("loss_d", "loss_g", "d_real", "d_fake", "spread")

#: The averaged generator forgets at least a twentieth of what was shown, so that it is not held back by the start
#: (the ramp-up of Karras et al., arXiv:2006.06676).
EMA_RAMP = 0.05


def build_networks(recipe: Recipe, size: int) -> tuple[nn.Module, nn.Module]:
    """G and D of a recipe for ``size``×``size`` images, initialised from its seed.

    Raises:
        InputError: the architecture cannot make images of that size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            generator = build_generator(
                recipe.generator, latent_dim=recipe.latent_dim, width=recipe.generator_width, size=size
            )
            discriminator = build_discriminator(
                recipe.discriminator,
                width=recipe.discriminator_width,
                size=size,
                norm=recipe.discriminator_norm,
            )
        except ValueError as problem:
            raise InputError(f"The recipe {recipe.name} does not fit the dataset: {problem}.") from problem
    return generator, discriminator


class Game:
    """The networks, their optimizers and the averaged generator; a call is one step.

    Nothing here waits for the device: a step's figures stay on it until somebody reads them.
    """

    def __init__(
        self, recipe: Recipe, real: RealImages, size: int, device: torch.device, precision: torch.dtype, ranks: Ranks
    ) -> None:
        self.recipe, self.device = recipe, device
        self._real, self._precision, self._ranks = real, precision, ranks
        self._loss = LOSSES[recipe.loss]
        generator, discriminator = build_networks(recipe, size)
        # channels_last is what convolutions are fastest in, on tensor cores and in oneDNN alike.
        self.generator = generator.to(device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self._optimizer_g = self._adam(self.generator, recipe.generator_lr)
        self._optimizer_d = self._adam(self.discriminator, recipe.discriminator_lr)
        # float16 alone underflows: its gradients are scaled up and the step is skipped where they overflow.
        self._scaler_g, self._scaler_d = (
            torch.amp.GradScaler(device.type, enabled=precision == torch.float16) for _ in range(2)
        )
        if recipe.compile:
            self.generator.compile()
            self.discriminator.compile()

    def _adam(self, network: nn.Module, lr: float) -> torch.optim.Adam:
        betas = (self.recipe.beta1, self.recipe.beta2)
        return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._precision, enabled=self._precision != torch.float32)

    def __call__(self, step: int) -> Tensor:
        """Run step number ``step``; its ``FIGURES`` as a float32 [5] on the device."""
        recipe = self.recipe
        draw = seeded(recipe.seed, STEP, step)
        latents = self._ranks.shard(torch.randn(recipe.batch, recipe.latent_dim, generator=draw))
        latents = latents.to(self.device, non_blocking=True)
        mirrored = torch.rand(recipe.batch, generator=draw) < 0.5 if recipe.mirror else None
        real = self._real(step, mirrored)

        with self._autocast():
            fake = self.generator(latents)

        self.discriminator.requires_grad_(True)
        with self._autocast():
            # Two passes, not one over both: BatchNorm must not mix real and generated statistics.
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
        real_logits, fake_logits = real_logits.float(), fake_logits.float()
        loss_d = self._loss.discriminator(real_logits, fake_logits)
        self._update(self._optimizer_d, self._scaler_d, loss_d)

        # G's gradient flows through D, whose own weights need none: a third of D's backward pass is saved.
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminator(fake)
        loss_g = self._loss.generator(logits.float())
        self._update(self._optimizer_g, self._scaler_g, loss_g)
        self._average_weights((step + 1) * recipe.batch)

        with torch.no_grad():
            d_real, d_fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
            return torch.stack([loss_d, loss_g, d_real, d_fake, fake.float().std(0).mean()])

    def _update(self, optimizer: torch.optim.Adam, scaler: torch.amp.GradScaler, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self._ranks.average(parameter.grad for parameter in parameters)
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def _average_weights(self, images_seen: int) -> None:
        half_life = min(self.recipe.ema_half_life_kimg * 1000, images_seen * EMA_RAMP)
        keep = 0.5 ** (self.recipe.batch / half_life) if half_life else 0.0
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.generator.parameters()), 1 - keep)

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "ema": self.ema,
            "optimizer_g": self._optimizer_g,
            "optimizer_d": self._optimizer_d,
            "scaler_g": self._scaler_g,
            "scaler_d": self._scaler_d,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs: tensors, numbers and strings only, so ``weights_only=True`` loads it."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


def mean_figures(figures: Iterable[Tensor], ranks: Ranks) -> dict[str, float]:
    """The mean of several steps' figures over steps and ranks: the one place that waits for the device."""
    mean = torch.stack(list(figures)).mean(0)
    ranks.average([mean])
    return dict(zip(FIGURES, mean.tolist(), strict=True))
