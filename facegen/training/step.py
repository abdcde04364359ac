"""One step of the game: D learns from a real and a generated batch, then G learns from D."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegen.errors import InputError
from facegen.gan.critics import Seen, of_images, pooled_dims
from facegen.gan.losses import LOSSES
from facegen.gan.moments import MomentMatching
from facegen.training.augmentation import Augmentation
from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.networks import FEATURES, PENALTIES, Critic, Sight, build_networks, feature_view
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


#: Batches of real images that the scale of the moments is taken over.
MOMENTS_BATCHES = 8
#: How often the moments' optimal map is computed anew, in half-lives of their averages.
MOMENTS_SOLVED = 0.25


class Turn(NamedTuple):
    """What is drawn for one turn of D, this rank's share of it, on the device."""

    latents: Tensor
    real: Tensor
    mix: Tensor
    uniforms: tuple[Tensor, Tensor, Tensor]
    """Of the alterations of the real images, of the generated ones, and of those that G learns from."""


class Game:
    """The networks, their optimizers and the averaged generator; a call is one step.

    D is a set of critics, whose losses are summed. Nothing here waits for the device: a step's figures stay on it until
    somebody reads them.

    Raises:
        InputError: networks that do not fit the images; a penalty on a D with BatchNorm.
        EnvironmentProblem: the weights of the frozen network are not installed.
    """

    def __init__(
        self, recipe: Recipe, real: RealImages, size: int, device: torch.device, precision: torch.dtype, ranks: Ranks
    ) -> None:
        self.recipe, self.device = recipe, device
        self._real, self._precision, self._ranks = real, precision, ranks
        self._loss = LOSSES[recipe.loss]
        generator, judges = build_networks(recipe, size)
        # channels_last is what convolutions are fastest in, on tensor cores and in oneDNN alike.
        self.generator = generator.to(device).to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.critics = {name: self._critic(name, judge) for name, judge in judges.items()}
        if recipe.sync_batch_norm and ranks.world > 1:
            convert_batch_norm(self.generator)
            for critic in self.critics.values():
                convert_batch_norm(critic.judge)
        self._optimizer_g = self._adam(self.generator)
        self._optimizer_d = self._adam(*(critic.judge for critic in self.critics.values()))
        # float16 alone underflows: its gradients are scaled up and the step is skipped where they overflow.
        self._scaler_g, self._scaler_d = (
            torch.amp.GradScaler(device.type, enabled=precision == torch.float16) for _ in range(2)
        )
        self._augmentation = Augmentation(recipe, device)
        self._one = torch.ones((), device=device)
        self._moments = self._matching() if recipe.moments_weight else None
        if recipe.compile:
            self.generator.compile()
            for critic in self.critics.values():
                critic.judge.compile()

    def _critic(self, name: str, judge: nn.Module) -> Critic:
        recipe = self.recipe
        judge = judge.to(self.device).to(memory_format=torch.channels_last)
        # Tensors, not numbers: a compiled graph would be compiled anew for each value of a schedule.
        weights = Weights(
            *(
                torch.zeros((), device=self.device) if field and getattr(recipe, field) else None
                for field in PENALTIES[name]
            )
        )
        if weights.any and any(isinstance(layer, _BatchNorm) for layer in judge.modules()):
            raise InputError(
                f"The recipe {recipe.name} penalises the gradients of a discriminator with BatchNorm, whose logit of "
                "one image depends on the others of its batch.",
                'Say discriminator_norm = "none", "layer" or "spectral".',
            )
        view = None
        if name == FEATURES:
            view = feature_view(recipe, self._precision).to(self.device)
            view.mixing.calibrate(view.tapped(self._real(0, None)))
            squares = view.mixing.scales.square()  # whose mean over the ranks is the global batch's
            self._ranks.average([squares])
            view.mixing.scales.copy_(squares.sqrt())
        compiled = recipe.compile and weights.any
        return Critic(judge, view, weights, compiled_gradients(judge, self._loss, self._autocast) if compiled else None)

    def _matching(self) -> MomentMatching:
        view = self.critics[FEATURES].view
        assert view is not None
        moments = MomentMatching(pooled_dims(self.recipe.features)).to(self.device)
        with torch.no_grad():
            real = torch.cat([view(self._real(number, None)).pooled for number in range(MOMENTS_BATCHES)])
            averages = torch.stack([real.mean(0), real.square().mean(0)])
        self._ranks.average([averages])
        moments.calibrate(*averages)
        return moments

    @staticmethod
    def _adam(*networks: nn.Module) -> torch.optim.Adam:
        # Learning rate and momenta are the schedule's, and set before each step.
        return torch.optim.Adam(chain.from_iterable(network.parameters() for network in networks), fused=True)

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
            with torch.set_grad_enabled(number == last):
                with self._autocast():
                    fake = self.generator(turn.latents)
                sights = self._look(turn, fake)
            # Lazy regularisation (Karras et al., arXiv:1912.04958, section 3.1): seldom, and so much stronger.
            judged = self._learn_d(turn, sights, penalised=number % recipe.penalty_every == 0)
        loss_g = self._learn_g(turn, fake, sights, step * recipe.images_per_step)
        self._average_weights((step + 1) * recipe.images_per_step)
        return self._figures(judged, loss_g, fake, (step + 1) * recipe.images_per_step)

    @torch.no_grad()
    def _figures(self, judged: dict[str, Judged], loss_g: Tensor, fake: Tensor, images_seen: int) -> Figures:
        figures = {"loss_d": torch.stack([each.loss for each in judged.values()]).sum(), "loss_g": loss_g}
        for name, each in judged.items():
            d_real, d_fake = self._loss.belief(of_images(each.real), of_images(each.fake))
            if "d_real" not in figures:
                figures["d_real"], figures["d_fake"] = d_real.mean(), d_fake.mean()
                if self._augmentation.is_on:
                    self._augmentation.adapt(d_real, images_seen, self._ranks)
            else:
                figures[f"d_real_{name}"], figures[f"d_fake_{name}"] = d_real.mean(), d_fake.mean()
        figures["spread"] = fake.float().std(0).mean()
        if any(critic.weights.any for critic in self.critics.values()):
            figures["penalty"] = torch.stack([each.penalty for each in judged.values()]).sum()
        if self._augmentation.is_on:
            figures["augment_p"] = self._augmentation.probability.clone()
        return {name: figure.detach() for name, figure in figures.items()}

    def _follow_schedule(self, images_seen: int) -> None:
        recipe = self.recipe
        betas = (recipe.beta1, recipe.at("beta2", images_seen))
        for optimizer, name in ((self._optimizer_g, "generator_lr"), (self._optimizer_d, "discriminator_lr")):
            for group in optimizer.param_groups:
                group["lr"], group["betas"] = recipe.at(name, images_seen), betas
        for seen, critic in self.critics.items():
            for weight, field in zip(critic.weights, PENALTIES[seen], strict=True):
                if weight is not None and field is not None:
                    weight.fill_(recipe.at(field, images_seen) * recipe.penalty_every)

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

    def _look(self, turn: Turn, fake: Tensor) -> dict[str, Sight]:
        """What each critic sees of the turn's images."""
        with torch.no_grad():
            real = self._augmentation(turn.real, turn.uniforms[0])
        # A frozen network costs more than all the rest, so it looks at G's images once: G learns from what D saw.
        fake = self._augmentation((fake if FEATURES in self.critics else fake.detach()).float(), turn.uniforms[1])
        return {name: critic.look(real, fake) for name, critic in self.critics.items()}

    def _learn_d(self, turn: Turn, sights: dict[str, Sight], *, penalised: bool) -> dict[str, Judged]:
        """One update of D."""
        self._optimizer_d.zero_grad(set_to_none=True)
        scale = self._scaler_d.scale(self._one)
        judged = {}
        for name, critic in self.critics.items():
            critic.judge.requires_grad_(True)
            real, fake = sights[name].real, detached(sights[name].fake)
            weights = critic.weights if penalised else NO_PENALTY
            if critic.gradients is not None and weights.any:
                parameters: dict[str, Tensor] = dict(critic.judge.named_parameters())
                with torch.no_grad():
                    gradients, judged[name] = critic.gradients(parameters, real, fake, turn.mix, weights, scale)
                    for key, parameter in parameters.items():
                        # A copy, because a compiler lays gradients out as it likes, and fused Adam goes through the
                        # memory of parameter and gradient side by side.
                        parameter.grad = torch.empty_like(parameter).copy_(gradients[key])
                continue
            judge_autocast = self._in_autocast(critic.judge)
            judged[name] = judge(judge_autocast, real, fake, turn.mix, loss=self._loss, weights=weights, scale=scale)
            ((judged[name].loss + judged[name].penalty) * scale).backward()
        self._update(self._optimizer_d, self._scaler_d)
        return judged

    def _in_autocast(self, judge: nn.Module) -> Callable[[Seen], Tensor]:
        def logits_of(seen: Seen) -> Tensor:
            with self._autocast():
                logits: Tensor = judge(seen)
            return logits

        return logits_of

    def _learn_g(self, turn: Turn, fake: Tensor, sights: dict[str, Sight], images_seen: int) -> Tensor:
        """One update of G, whose images ``fake`` are; its loss."""
        losses = []
        for name, critic in self.critics.items():
            # The gradient flows through D, whose own weights need none: a third of D's backward pass is saved.
            critic.judge.requires_grad_(False)
            sight = sights[name]
            with self._autocast():
                # Of pixels alone, G learns from its images altered anew.
                seen = sight.fake if FEATURES in self.critics else self._augmentation(fake, turn.uniforms[2])
                logits = [critic.judge(seen)]
                if self._loss.paired:
                    logits.append(critic.judge(sight.real))
            losses.append(self._loss.generator(*(each.float() for each in logits)))
        if self._moments is not None:
            losses.append(self._match_moments(self._moments, sights[FEATURES], images_seen))
        loss = torch.stack(losses).sum()
        self._optimizer_g.zero_grad(set_to_none=True)
        self._scaler_g.scale(loss).backward()
        self._update(self._optimizer_g, self._scaler_g)
        return loss

    def _match_moments(self, moments: MomentMatching, sight: Sight, images_seen: int) -> Tensor:
        """The weighted loss of G's features' moments; 0 before the averages are of enough images."""
        recipe = self.recipe
        assert sight.pooled_real is not None and sight.pooled_fake is not None, "there are features"
        batch = moments.batch_moments(sight.pooled_real, sight.pooled_fake.detach())
        self._ranks.average(batch)
        half_life = recipe.moments_half_life_kimg * 1000
        moments.observe(*batch, keep=0.5 ** (recipe.images_per_step / half_life))
        if images_seen + recipe.images_per_step < half_life:
            return torch.zeros((), device=self.device)
        between = half_life * MOMENTS_SOLVED
        if images_seen // between != (images_seen + recipe.images_per_step) // between:
            moments.solve()
        loss: Tensor = moments(sight.pooled_fake)
        return recipe.at("moments_weight", images_seen) * loss

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
        views = {f"{name}_view": critic.view for name, critic in self.critics.items() if critic.view is not None}
        return {
            "generator": self.generator,
            **{name: critic.judge for name, critic in self.critics.items()},
            **views,
            **({} if self._moments is None else {"moments": self._moments}),
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


def detached(seen: Seen) -> Seen:
    """The same without a gradient."""
    return seen.detach() if isinstance(seen, Tensor) else tuple(each.detach() for each in seen)


def mean_figures(steps: Sequence[Figures], ranks: Ranks) -> dict[str, float]:
    """The mean of several steps' figures over steps and ranks: the one place that waits for the device."""
    names = list(steps[0])
    mean = torch.stack([torch.stack([figures[name] for name in names]) for figures in steps]).mean(0)
    ranks.average([mean])
    return dict(zip(names, mean.tolist(), strict=True))
