"""The trainer: D learns from a real and a generated batch, then G learns from D."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegen.cnn.autocast import without_autocast
from facegen.device import placed
from facegen.errors import InputError
from facegen.gan.critics import of_images
from facegen.gan.losses import LOSSES
from facegen.gan.moments import MomentMatching
from facegen.training.augmentation import Augmentation
from facegen.training.batches import RealImages
from facegen.training.critic import Critic, CriticInputs, calibrated_moments, calibrated_view
from facegen.training.distributed import Ranks
from facegen.training.figures import Figures, RunningMeans, StepFigures
from facegen.training.networks import FEATURES, PENALTIES, build_networks
from facegen.training.objective import NO_PENALTY, LossTerms, PenaltyWeights, compiled_gradients
from facegen.training.recipe import Recipe
from facegen.training.state import Parts, load_state, restored_afterwards, state_of
from facegen.training.step_inputs import AUGMENT_PROBABILITY, EMA_SHARE, MOMENTS_WEIGHT, StepInputs, UpdateInputs
from facegen.training.sync_batchnorm import convert_batch_norm

#: How often the moments' optimal map is computed anew, in half-lives of their averages.
MOMENTS_SOLVED = 0.25


class Trainer:
    """The networks, their optimizers and the averaged generator; a call is one step.

    A step is one update of G, and ``d_steps`` updates of D before it. D is a set of critics, whose losses are summed.
    A step has three parts. :meth:`load_inputs` draws on the host what the step takes, and sends it. :meth:`run_step` is
    the same work on the device each time, on those inputs. :meth:`finish_step` is what the host decides afterwards.
    Nothing in the first two waits for the device: figures stay on it until somebody reads them.

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
        self._inputs = StepInputs(recipe, real, self._augmentation.uniforms, device, ranks)
        # float16 alone underflows: its gradients are scaled up and the step is skipped where they overflow.
        scaled = precision == torch.float16
        self._scaler_g, self._scaler_d = (torch.amp.GradScaler(device.type, enabled=scaled) for _ in range(2))
        # Of such a step the penalty, a gradient too, is no number.
        self._means = RunningMeans(skippable=("penalty",) if scaled else ())
        generator, heads = build_networks(recipe, size)
        self.generator = placed(generator, device)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.critics = {name: self._critic(name, head) for name, head in heads.items()}
        if recipe.sync_batch_norm and ranks.world > 1:
            convert_batch_norm(self.generator)
            for critic in self.critics.values():
                convert_batch_norm(critic.head)
        rate_g, rate_d = self._inputs.rates
        self._optimizer_g = self._adam(rate_g, self.generator)
        self._optimizer_d = self._adam(rate_d, *(critic.head for critic in self.critics.values()))
        self._one = torch.ones((), device=device)
        for scaler in (self._scaler_g, self._scaler_d):
            scaler.scale(self._one)  # which makes its tensors, so that they are there from the first step on
        self._moments = self._matching() if recipe.moments_weight else None
        if recipe.compile:
            self.generator.compile()
            for critic in self.critics.values():
                critic.head.compile()

    @property
    def recipe(self) -> Recipe:
        return self._inputs.recipe

    def slow_down(self, factor: float) -> None:
        """Learn at ``factor`` times the rates of the recipe from the next step on."""
        self._inputs.rate_factor = factor

    def follow(self, recipe: Recipe) -> None:
        """Go on by the schedules of ``recipe``, which says the same of all else."""
        self._inputs.recipe = recipe

    def _critic(self, name: str, head: nn.Module) -> Critic:
        recipe = self.recipe
        head = placed(head, self.device)
        # Tensors, not numbers: a compiled graph would be compiled anew for each value of a schedule.
        values = self._inputs.values
        weights = PenaltyWeights(*(values.get(field) if field else None for field in PENALTIES[name]))
        if weights.any and any(isinstance(layer, _BatchNorm) for layer in head.modules()):
            raise InputError(
                f"The recipe {recipe.name} penalises the gradients of a discriminator with BatchNorm, whose logit of "
                "one image depends on the others of its batch.",
                'Say discriminator_norm = "none" or "layer"; discriminator_weight_norm = "spectral" goes with both.',
            )
        view = None
        if name == FEATURES:
            view = calibrated_view(recipe, self._real, self.device, self._precision, self._ranks)
        compiled = recipe.compile and weights.any
        return Critic(head, view, weights, compiled_gradients(head, self._loss, self._autocast) if compiled else None)

    def _matching(self) -> MomentMatching:
        view = self.critics[FEATURES].view
        assert view is not None
        return calibrated_moments(self.recipe, self._real, view, self.device, self._ranks)

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

    def __call__(self, step: int) -> StepFigures:
        """Run step number ``step``: ``d_steps`` updates of D, then one of G."""
        self.load_inputs(step)
        figures = self.run_step(self.penalised(step))
        self.finish_step(step)
        return figures

    def penalised(self, step: int) -> tuple[bool, ...]:
        """Which updates of D have penalties: the one thing in which :meth:`run_step` differs from step to step."""
        # Lazy regularisation (Karras et al., arXiv:1912.04958, section 3.1): seldom, and so much stronger.
        recipe = self.recipe
        updates = range(step * recipe.d_steps, (step + 1) * recipe.d_steps)
        return tuple(number % recipe.penalty_every == 0 for number in updates)

    def load_inputs(self, step: int) -> None:
        """Draw the inputs of step ``step``, and send them to the device."""
        betas = (self.recipe.beta1, self.recipe.at("beta2", step * self.recipe.images_per_step))
        for optimizer in (self._optimizer_g, self._optimizer_d):
            for group in optimizer.param_groups:
                group["betas"] = betas
        self._inputs.load(step)

    def run_step(self, penalised: tuple[bool, ...]) -> StepFigures:
        """Run the step whose inputs are loaded. ``penalised`` is what :meth:`penalised` says of it."""
        for update, with_penalties in zip(self._inputs.updates, penalised, strict=True):
            # Only the images of the last update are G's to learn from.
            with torch.set_grad_enabled(update is self._inputs.updates[-1]):
                with self._autocast():
                    fake = self.generator(update.latents)
                seen = self._seen(update, fake)
            terms = self._learn_d(update, seen, penalised=with_penalties)
        loss_g = self._learn_g(update, fake, seen)
        self._average_weights()
        figures = self._figures(terms, loss_g, fake)
        self._means.add(figures)
        return figures

    def finish_step(self, step: int) -> None:
        """Compute anew what is only seldom computed, and takes the host: the moments' optimal map.

        Until their averages are of enough images there is none, and the moments weigh nothing.
        """
        if self._moments is None:
            return
        shown, half_life = (step + 1) * self.recipe.images_per_step, self.recipe.moments_half_life_kimg * 1000
        between = half_life * MOMENTS_SOLVED
        if shown >= half_life and (shown - self.recipe.images_per_step) // between != shown // between:
            self._moments.solve_map()

    def read_figures(self) -> Figures:
        """The means of the steps' figures since the last reading, None for one that none of them had.

        The one place that waits for the device.
        """
        return self._means.read(self._ranks)

    @torch.no_grad()
    def _figures(self, terms: dict[str, LossTerms], loss_g: Tensor, fake: Tensor) -> StepFigures:
        figures = {"loss_d": torch.stack([each.loss for each in terms.values()]).sum(), "loss_g": loss_g}
        for name, each in terms.items():
            d_real, d_fake = self._loss.belief(of_images(each.real), of_images(each.fake))
            if "d_real" not in figures:
                figures["d_real"], figures["d_fake"] = d_real.mean(), d_fake.mean()
                if self._augmentation.is_on:
                    self._augmentation.adapt(d_real, self._inputs.values[AUGMENT_PROBABILITY], self._ranks)
            else:
                figures[f"d_real_{name}"], figures[f"d_fake_{name}"] = d_real.mean(), d_fake.mean()
        figures["spread"] = fake.float().std(0).mean()
        if any(critic.weights.any for critic in self.critics.values()):
            figures["penalty"] = torch.stack([each.penalty for each in terms.values()]).sum()
        if self._augmentation.is_on:
            figures["augment_p"] = self._augmentation.probability.clone()
        return {name: figure.detach() for name, figure in figures.items()}

    def _seen(self, update: UpdateInputs, fake: Tensor) -> dict[str, CriticInputs]:
        """What each critic sees of an update's images."""
        with torch.no_grad():
            real = self._augmentation(self._real.images(update.sent, update.mirrored), update.uniforms[0])
        # A frozen network costs more than all the rest, so it looks at G's images once: G learns from what D saw.
        fake = self._augmentation((fake if FEATURES in self.critics else fake.detach()).float(), update.uniforms[1])
        return {name: critic.inputs(real, fake) for name, critic in self.critics.items()}

    def _learn_d(self, update: UpdateInputs, seen: dict[str, CriticInputs], *, penalised: bool) -> dict[str, LossTerms]:
        """One update of D."""
        self._optimizer_d.zero_grad(set_to_none=True)
        scale = self._scaler_d.scale(self._one)
        terms = {}
        for name, critic in self.critics.items():
            weights = critic.weights if penalised else NO_PENALTY
            terms[name] = critic.backward(
                seen[name], update.mix, weights, scale, loss=self._loss, autocast=self._autocast
            )
        self._update(self._optimizer_d, self._scaler_d)
        return terms

    def _learn_g(self, update: UpdateInputs, fake: Tensor, seen: dict[str, CriticInputs]) -> Tensor:
        """One update of G, whose images ``fake`` are; its loss."""
        losses = []
        for name, critic in self.critics.items():
            with self._autocast():
                # Of pixels alone, G learns from its images altered anew.
                of_fake = seen[name].fake if FEATURES in self.critics else self._augmentation(fake, update.uniforms[2])
                logits = [critic.frozen_logits(of_fake)]
                if self._loss.paired:
                    logits.append(critic.frozen_logits(seen[name].real))
            losses.append(self._loss.generator(*(each.float() for each in logits)))
        if self._moments is not None:
            losses.append(self._match_moments(self._moments, seen[FEATURES]))
        loss = torch.stack(losses).sum()
        self._optimizer_g.zero_grad(set_to_none=True)
        self._scaler_g.scale(loss).backward()
        self._update(self._optimizer_g, self._scaler_g)
        return loss

    def _match_moments(self, moments: MomentMatching, seen: CriticInputs) -> Tensor:
        """The weighted loss of G's features' moments."""
        assert seen.pooled_real is not None and seen.pooled_fake is not None, "there are features"
        batch = moments.batch_moments(seen.pooled_real, seen.pooled_fake.detach())
        self._ranks.average(batch)
        half_life = self.recipe.moments_half_life_kimg * 1000
        moments.update_averages(*batch, keep=0.5 ** (self.recipe.images_per_step / half_life))
        loss: Tensor = moments(seen.pooled_fake)
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
            **{name: critic.head for name, critic in self.critics.items()},
            **views,
            **({} if self._moments is None else {"moments": self._moments}),
            "ema": self.ema,
            "optimizer_g": self._optimizer_g,
            "optimizer_d": self._optimizer_d,
            "scaler_g": self._scaler_g,
            "scaler_d": self._scaler_d,
            "augmentation": self._augmentation,
        }

    @torch.no_grad()
    def not_finite(self) -> list[str]:
        """Names of the networks that have weights, or statistics, that are not finite. Waits for the device."""
        networks = {"generator": self.generator, **{name: each.head for name, each in self.critics.items()}}
        networks["ema"] = self.ema
        whole = {
            name: torch.stack([tensor.isfinite().all() for tensor in network.state_dict().values()]).all()
            for name, network in networks.items()
        }
        return [name for name, is_finite in whole.items() if not is_finite]

    def state_dict(self) -> dict[str, Any]:
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_state(self._parts(), state)

    @contextmanager
    def trial_run(self) -> Iterator[None]:
        """Steps within the block change nothing in the end: the state is restored, each tensor at its address."""
        with restored_afterwards(self._parts()):
            yield
        self._means.reset()
