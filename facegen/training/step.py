"""One step of the game: D learns from a real and a generated batch, then G learns from D."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegen.cnn.autocast import without_autocast
from facegen.device import memory_format
from facegen.errors import InputError
from facegen.gan.critics import Seen, of_images, pooled_dims
from facegen.gan.losses import LOSSES
from facegen.gan.moments import MomentMatching
from facegen.training.augmentation import Augmentation
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.inputs import AUGMENT_PROBABILITY, EMA_SHARE, MOMENTS_WEIGHT, Inputs, Turn
from facegen.training.networks import FEATURES, PENALTIES, Critic, Sight, build_networks, feature_view
from facegen.training.objective import NO_PENALTY, Judged, Weights, compiled_gradients, judge
from facegen.training.recipe import Recipe
from facegen.training.state import Parts, load_state, put_back, state_of
from facegen.training.sync_batchnorm import convert_batch_norm
from facegen.training.tally import Tally

#: What a step reports, 0-dim each, on the device: the losses; D(x) and D(G(z)), as the loss reads logits; how much G's
#: images differ (the mean over pixels of their standard deviation over the batch); where the recipe has them, the
#: weighted penalties in ``penalty`` and the present probability of an alteration in ``augment_p``.
Figures = dict[str, Tensor]

#: Batches of real images that the scale of the moments is taken over.
MOMENTS_BATCHES = 8
#: How often the moments' optimal map is computed anew, in half-lives of their averages.
MOMENTS_SOLVED = 0.25


class Game:
    """The networks, their optimizers and the averaged generator; a call is one step.

    D is a set of critics, whose losses are summed. A step has three parts: :meth:`stage` draws on the host what it
    takes; :meth:`play` is the same work on the device each time, on what was drawn; :meth:`settle` is what the host
    decides afterwards. Nothing in the first two waits for the device: figures stay on it until somebody reads them.

    Raises:
        InputError: networks that do not fit the images; a penalty on a D with BatchNorm.
        EnvironmentProblem: the weights of the frozen network are not installed.
    """

    def __init__(
        self, recipe: Recipe, real: RealImages, size: int, device: torch.device, precision: torch.dtype, ranks: Ranks
    ) -> None:
        self.device = device
        self._real, self._precision, self._ranks = real, precision, ranks
        self._loss = LOSSES[recipe.loss]
        self._augmentation = Augmentation(recipe, device)
        self._inputs = Inputs(recipe, real, self._augmentation.uniforms, device, ranks)
        # float16 alone underflows: its gradients are scaled up and the step is skipped where they overflow.
        scaled = precision == torch.float16
        self._scaler_g, self._scaler_d = (torch.amp.GradScaler(device.type, enabled=scaled) for _ in range(2))
        # Of such a step the penalty, a gradient too, is no number.
        self._tally = Tally(skippable=("penalty",) if scaled else ())
        generator, judges = build_networks(recipe, size)
        self.generator = generator.to(device).to(memory_format=memory_format(device))
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.critics = {name: self._critic(name, judge) for name, judge in judges.items()}
        if recipe.sync_batch_norm and ranks.world > 1:
            convert_batch_norm(self.generator)
            for critic in self.critics.values():
                convert_batch_norm(critic.judge)
        rate_g, rate_d = self._inputs.rates
        self._optimizer_g = self._adam(rate_g, self.generator)
        self._optimizer_d = self._adam(rate_d, *(critic.judge for critic in self.critics.values()))
        self._one = torch.ones((), device=device)
        for scaler in (self._scaler_g, self._scaler_d):
            scaler.scale(self._one)  # which makes its tensors, so that they are there from the first step on
        self._moments = self._matching() if recipe.moments_weight else None
        if recipe.compile:
            self.generator.compile()
            for critic in self.critics.values():
                critic.judge.compile()

    @property
    def recipe(self) -> Recipe:
        return self._inputs.recipe

    def follow(self, recipe: Recipe) -> None:
        """Go on by the schedules of ``recipe``, which says the same of all else."""
        self._inputs.recipe = recipe

    def _critic(self, name: str, judge: nn.Module) -> Critic:
        recipe = self.recipe
        judge = judge.to(self.device).to(memory_format=memory_format(self.device))
        # Tensors, not numbers: a compiled graph would be compiled anew for each value of a schedule.
        values = self._inputs.values
        weights = Weights(*(values.get(field) if field else None for field in PENALTIES[name]))
        if weights.any and any(isinstance(layer, _BatchNorm) for layer in judge.modules()):
            raise InputError(
                f"The recipe {recipe.name} penalises the gradients of a discriminator with BatchNorm, whose logit of "
                "one image depends on the others of its batch.",
                'Say discriminator_norm = "none" or "layer"; discriminator_weight_norm = "spectral" goes with both.',
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

    def _adam(self, rate: Tensor, *networks: nn.Module) -> torch.optim.Adam:
        parameters = chain.from_iterable(network.parameters() for network in networks)
        recipe, cuda = self.recipe, self.device.type == "cuda"
        betas = (recipe.beta1, recipe.at("beta2", 0))
        # The rate is a tensor, which each step finds changed. Capturable: a step's number stays on the device too.
        return torch.optim.Adam(parameters, rate, betas, fused=self.device.type != "mps", capturable=cuda)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return without_autocast(self.device)
        return torch.autocast(self.device.type, self._precision)

    def __call__(self, step: int) -> Figures:
        """Run step number ``step``: ``d_steps`` turns of D, then one of G."""
        self.stage(step)
        figures = self.play(self.penalised(step))
        self.settle(step)
        return figures

    def penalised(self, step: int) -> tuple[bool, ...]:
        """Which turns of D have penalties: the one thing in which :meth:`play` differs from step to step."""
        # Lazy regularisation (Karras et al., arXiv:1912.04958, section 3.1): seldom, and so much stronger.
        recipe = self.recipe
        turns = range(step * recipe.d_steps, (step + 1) * recipe.d_steps)
        return tuple(number % recipe.penalty_every == 0 for number in turns)

    def stage(self, step: int) -> None:
        """Hand the device what step ``step`` takes."""
        betas = (self.recipe.beta1, self.recipe.at("beta2", step * self.recipe.images_per_step))
        for optimizer in (self._optimizer_g, self._optimizer_d):
            for group in optimizer.param_groups:
                group["betas"] = betas
        self._inputs.stage(step)

    def play(self, penalised: tuple[bool, ...]) -> Figures:
        """Play the step that is staged."""
        for turn, with_penalties in zip(self._inputs.turns, penalised, strict=True):
            # Only the images of the last turn are G's to learn from.
            with torch.set_grad_enabled(turn is self._inputs.turns[-1]):
                with self._autocast():
                    fake = self.generator(turn.latents)
                sights = self._look(turn, fake)
            judged = self._learn_d(turn, sights, penalised=with_penalties)
        loss_g = self._learn_g(turn, fake, sights)
        self._average_weights()
        figures = self._figures(judged, loss_g, fake)
        self._tally.add(figures)
        return figures

    def settle(self, step: int) -> None:
        """Compute anew what is only seldom computed, and takes the host: the moments' optimal map.

        Until their averages are of enough images there is none, and the moments weigh nothing.
        """
        if self._moments is None:
            return
        shown, half_life = (step + 1) * self.recipe.images_per_step, self.recipe.moments_half_life_kimg * 1000
        between = half_life * MOMENTS_SOLVED
        if shown >= half_life and (shown - self.recipe.images_per_step) // between != shown // between:
            self._moments.solve()

    def read_figures(self) -> dict[str, float | None]:
        """The means of the steps' figures since the last reading, None for one that none of them had.

        The one place that waits for the device.
        """
        return self._tally.read(self._ranks)

    @torch.no_grad()
    def _figures(self, judged: dict[str, Judged], loss_g: Tensor, fake: Tensor) -> Figures:
        figures = {"loss_d": torch.stack([each.loss for each in judged.values()]).sum(), "loss_g": loss_g}
        for name, each in judged.items():
            d_real, d_fake = self._loss.belief(of_images(each.real), of_images(each.fake))
            if "d_real" not in figures:
                figures["d_real"], figures["d_fake"] = d_real.mean(), d_fake.mean()
                if self._augmentation.is_on:
                    self._augmentation.adapt(d_real, self._inputs.values[AUGMENT_PROBABILITY], self._ranks)
            else:
                figures[f"d_real_{name}"], figures[f"d_fake_{name}"] = d_real.mean(), d_fake.mean()
        figures["spread"] = fake.float().std(0).mean()
        if any(critic.weights.any for critic in self.critics.values()):
            figures["penalty"] = torch.stack([each.penalty for each in judged.values()]).sum()
        if self._augmentation.is_on:
            figures["augment_p"] = self._augmentation.probability.clone()
        return {name: figure.detach() for name, figure in figures.items()}

    def _look(self, turn: Turn, fake: Tensor) -> dict[str, Sight]:
        """What each critic sees of the turn's images."""
        with torch.no_grad():
            real = self._augmentation(self._real.images(turn.sent, turn.mirrored), turn.uniforms[0])
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

    def _learn_g(self, turn: Turn, fake: Tensor, sights: dict[str, Sight]) -> Tensor:
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
            losses.append(self._match_moments(self._moments, sights[FEATURES]))
        loss = torch.stack(losses).sum()
        self._optimizer_g.zero_grad(set_to_none=True)
        self._scaler_g.scale(loss).backward()
        self._update(self._optimizer_g, self._scaler_g)
        return loss

    def _match_moments(self, moments: MomentMatching, sight: Sight) -> Tensor:
        """The weighted loss of G's features' moments."""
        assert sight.pooled_real is not None and sight.pooled_fake is not None, "there are features"
        batch = moments.batch_moments(sight.pooled_real, sight.pooled_fake.detach())
        self._ranks.average(batch)
        half_life = self.recipe.moments_half_life_kimg * 1000
        moments.observe(*batch, keep=0.5 ** (self.recipe.images_per_step / half_life))
        loss: Tensor = moments(sight.pooled_fake)
        return self._inputs.values[MOMENTS_WEIGHT] * loss

    def _update(self, optimizer: torch.optim.Adam, scaler: torch.amp.GradScaler) -> None:
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self._ranks.average(parameter.grad for parameter in parameters)
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def _average_weights(self) -> None:
        average: list[Tensor] = list(self.ema.parameters())
        learned: list[Tensor] = list(self.generator.parameters())
        change = list(torch._foreach_sub(learned, average))
        torch._foreach_mul_(change, self._inputs.values[EMA_SHARE])
        torch._foreach_add_(average, change)

    def _parts(self) -> Parts:
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
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_state(self._parts(), state)

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Steps within the block change nothing in the end: all is put back, each tensor in its place."""
        with put_back(self._parts()):
            yield
        self._tally.reset()


def detached(seen: Seen) -> Seen:
    """The same without a gradient."""
    return seen.detach() if isinstance(seen, Tensor) else tuple(each.detach() for each in seen)
