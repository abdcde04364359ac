"""One step of the game: D learns from a real and a generated batch, then G learns from D."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegen.errors import InputError
from facegen.gan.augmentation import (
    adapted_probability,
    augment,
    overfitting_sign,
    parse_policies,
    uniforms_per_image,
)
from facegen.gan.discriminators import build_discriminator
from facegen.gan.generators import build_generator
from facegen.gan.losses import LOSSES
from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.objective import NO_PENALTY, Judged, Weights, compiled_gradients, judge
from facegen.training.recipe import Recipe
from facegen.training.sync_batchnorm import convert_batch_norm

#: What a step reports, 0-dim each, on the device: the losses; D(x) and D(G(z)), as the loss reads logits; how much G's
#: images differ (the mean over pixels of their standard deviation over the batch); where the recipe has them, the
#: weighted penalties in ``penalty`` and the present probability of an alteration in ``augment_p``.
Figures = dict[str, Tensor]

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


class Augmentation(nn.Module):
    """A recipe's alterations of what D sees, and their probability, which the overfitting of D can control."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__()
        self._policies = parse_policies(recipe.augment)
        self._recipe = recipe
        self.uniforms = uniforms_per_image(self._policies)
        self.probability: Tensor
        self.register_buffer("probability", torch.tensor(recipe.at("augment_probability", 0), device=device))

    @property
    def is_on(self) -> bool:
        return bool(self._policies)

    def forward(self, images: Tensor, uniforms: Tensor) -> Tensor:
        return augment(images, self._policies, uniforms, self.probability) if self._policies else images

    @torch.no_grad()
    def adapt(self, belief: Tensor, images_seen: int, ranks: Ranks) -> None:
        """Raise the probability where D is too sure of real images ([B] in [0, 1]), else lower it; or as scheduled."""
        recipe = self._recipe
        if not recipe.ada_target:
            self.probability.fill_(recipe.at("augment_probability", images_seen))
            return
        sign = overfitting_sign(belief - 0.5)
        ranks.average([sign])
        step = adapted_probability(
            self.probability, sign, target=recipe.ada_target, images=recipe.images_per_step, kimg=recipe.ada_kimg
        )
        self.probability.copy_(step)


class Turn(NamedTuple):
    """What is drawn for one turn of D, this rank's share of it, on the device."""

    latents: Tensor
    real: Tensor
    mix: Tensor
    uniforms: tuple[Tensor, Tensor, Tensor]
    """Of the alterations of the real images, of the generated ones, and of those that G learns from."""


class Game:
    """The networks, their optimizers and the averaged generator; a call is one step.

    Nothing here waits for the device: a step's figures stay on it until somebody reads them.

    Raises:
        InputError: networks that do not fit the images; a penalty on a D with BatchNorm.
    """

    def __init__(
        self, recipe: Recipe, real: RealImages, size: int, device: torch.device, precision: torch.dtype, ranks: Ranks
    ) -> None:
        self.recipe, self.device = recipe, device
        self._real, self._precision, self._ranks = real, precision, ranks
        self._loss = LOSSES[recipe.loss]
        # channels_last is what convolutions are fastest in, on tensor cores and in oneDNN alike.
        self.generator, self.discriminator = (
            network.to(device).to(memory_format=torch.channels_last) for network in build_networks(recipe, size)
        )
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        if recipe.sync_batch_norm and ranks.world > 1:
            convert_batch_norm(self.generator)
            convert_batch_norm(self.discriminator)
        self._optimizer_g, self._optimizer_d = (self._adam(net) for net in (self.generator, self.discriminator))
        # float16 alone underflows: its gradients are scaled up and the step is skipped where they overflow.
        self._scaler_g, self._scaler_d = (
            torch.amp.GradScaler(device.type, enabled=precision == torch.float16) for _ in range(2)
        )
        self._augmentation = Augmentation(recipe, device)
        self._one = torch.ones((), device=device)
        penalties = (recipe.r1_gamma, recipe.r2_gamma, recipe.gradient_penalty)
        # Tensors, not numbers: a compiled graph would be compiled anew for each value of a schedule.
        self._weights = Weights(*(torch.zeros((), device=device) if penalty else None for penalty in penalties))
        if self._weights.any and any(isinstance(layer, _BatchNorm) for layer in self.discriminator.modules()):
            raise InputError(
                f"The recipe {recipe.name} penalises the gradients of a discriminator with BatchNorm, whose logit of "
                "one image depends on the others of its batch.",
                'Say discriminator_norm = "none", "layer" or "spectral".',
            )
        self._compiled = (
            compiled_gradients(self.discriminator, self._loss, self._autocast)
            if recipe.compile and self._weights.any
            else None
        )
        if recipe.compile:
            self.generator.compile()
            self.discriminator.compile()

    @staticmethod
    def _adam(network: nn.Module) -> torch.optim.Adam:
        # Learning rate and momenta are the schedule's, and set before each step.
        return torch.optim.Adam(network.parameters(), fused=True)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._precision, enabled=self._precision != torch.float32)

    def __call__(self, step: int) -> Figures:
        """Run step number ``step``: ``d_steps`` turns of D, then one of G."""
        recipe = self.recipe
        self._follow_schedule(step * recipe.images_per_step)
        last = (step + 1) * recipe.d_steps - 1
        for number in range(step * recipe.d_steps, last + 1):
            turn = self._draw(number)
            # Only the images of the last turn are G's to learn from.
            with torch.set_grad_enabled(number == last), self._autocast():
                fake = self.generator(turn.latents)
            # Lazy regularisation (Karras et al., arXiv:1912.04958, section 3.1): seldom, and so much stronger.
            weights = self._weights if number % recipe.penalty_every == 0 else NO_PENALTY
            judged = self._learn_d(turn, fake.detach(), weights)
        loss_g = self._learn_g(turn, fake)
        self._average_weights((step + 1) * recipe.images_per_step)

        with torch.no_grad():
            d_real, d_fake = self._loss.belief(judged.real, judged.fake)
            if self._augmentation.is_on:
                self._augmentation.adapt(d_real, (step + 1) * recipe.images_per_step, self._ranks)
            figures = {"loss_d": judged.loss, "loss_g": loss_g, "d_real": d_real.mean(), "d_fake": d_fake.mean()}
            figures["spread"] = fake.float().std(0).mean()
            if self._weights.any:
                figures["penalty"] = judged.penalty
            if self._augmentation.is_on:
                figures["augment_p"] = self._augmentation.probability.clone()
            return {name: figure.detach() for name, figure in figures.items()}

    def _follow_schedule(self, images_seen: int) -> None:
        recipe = self.recipe
        betas = (recipe.beta1, recipe.at("beta2", images_seen))
        for optimizer, name in ((self._optimizer_g, "generator_lr"), (self._optimizer_d, "discriminator_lr")):
            for group in optimizer.param_groups:
                group["lr"], group["betas"] = recipe.at(name, images_seen), betas
        for weight, name in zip(self._weights, ("r1_gamma", "r2_gamma", "gradient_penalty"), strict=True):
            if weight is not None:
                weight.fill_(recipe.at(name, images_seen) * recipe.penalty_every)

    def _draw(self, number: int) -> Turn:
        """Turn ``number``: drawn for the global batch, so that any number of ranks plays the same game."""
        recipe = self.recipe
        draw = seeded(recipe.seed, STEP, number)

        def share(whole: Tensor) -> Tensor:
            return self._ranks.shard(whole).to(self.device, non_blocking=True)

        latents = share(torch.randn(recipe.batch, recipe.latent_dim, generator=draw))
        mirrored = torch.rand(recipe.batch, generator=draw) < 0.5 if recipe.mirror else None
        mix = share(torch.rand(recipe.batch, generator=draw))
        of_real, of_fake, of_g = (
            share(torch.rand(recipe.batch, self._augmentation.uniforms, generator=draw)) for _ in range(3)
        )
        return Turn(latents, self._real(number, mirrored), mix, (of_real, of_fake, of_g))

    def _learn_d(self, turn: Turn, fake: Tensor, weights: Weights) -> Judged:
        """One update of D; ``fake`` carries no gradient."""
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            real = self._augmentation(turn.real, turn.uniforms[0])
            fake = self._augmentation(fake.float(), turn.uniforms[1])
        scale = self._scaler_d.scale(self._one)
        if self._compiled is not None and weights.any:
            parameters: dict[str, Tensor] = dict(self.discriminator.named_parameters())
            gradients, judged = self._compiled(parameters, real, fake, turn.mix, weights, scale)
            for name, parameter in parameters.items():
                if parameter.grad is None:
                    parameter.grad = torch.empty_like(parameter)
                # A copy, because a compiler lays gradients out as it likes, and fused Adam goes through the memory
                # of parameter and gradient side by side.
                parameter.grad.copy_(gradients[name])
        else:

            def discriminator(images: Tensor) -> Tensor:
                with self._autocast():
                    logits: Tensor = self.discriminator(images)
                return logits

            judged = judge(discriminator, real, fake, turn.mix, loss=self._loss, weights=weights, scale=scale)
            self._optimizer_d.zero_grad(set_to_none=True)
            ((judged.loss + judged.penalty) * scale).backward()
        self._update(self._optimizer_d, self._scaler_d)
        return judged

    def _learn_g(self, turn: Turn, fake: Tensor) -> Tensor:
        """One update of G, whose images ``fake`` are; its loss."""
        # The gradient flows through D, whose own weights need none: a third of D's backward pass is saved.
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = [self.discriminator(self._augmentation(fake, turn.uniforms[2]))]
            if self._loss.paired:
                logits.append(self.discriminator(self._augmentation(turn.real, turn.uniforms[0])))
        loss = self._loss.generator(*(each.float() for each in logits))
        self._optimizer_g.zero_grad(set_to_none=True)
        self._scaler_g.scale(loss).backward()
        self._update(self._optimizer_g, self._scaler_g)
        return loss

    def _update(self, optimizer: torch.optim.Adam, scaler: torch.amp.GradScaler) -> None:
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self._ranks.average(parameter.grad for parameter in parameters)
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def _average_weights(self, images_seen: int) -> None:
        half_life = min(self.recipe.at("ema_half_life_kimg", images_seen) * 1000, images_seen * EMA_RAMP)
        keep = 0.5 ** (self.recipe.images_per_step / half_life) if half_life else 0.0
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
            "augmentation": self._augmentation,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs: tensors, numbers and strings only, so ``weights_only=True`` loads it."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


def mean_figures(steps: Sequence[Figures], ranks: Ranks) -> dict[str, float]:
    """The mean of several steps' figures over steps and ranks: the one place that waits for the device."""
    names = list(steps[0])
    mean = torch.stack([torch.stack([figures[name] for name in names]) for figures in steps]).mean(0)
    ranks.average([mean])
    return dict(zip(names, mean.tolist(), strict=True))
