"""The trainer: in each step the discriminator learns first, and then the generator learns from it."""

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

#: Interval at which the optimal map of the moments is computed, in half-lives of their running averages.
MOMENTS_SOLVED = 0.25


class Trainer:
    """The networks, their optimizers and the averaged generator. A call runs one step.

    A step consists of ``d_steps`` updates of the discriminator and then one update of the generator. The
    discriminator is a set of critics, whose losses are summed. A step has three parts:

    - :meth:`load_inputs` draws the inputs of the step on the host and sends them to the device.
    - :meth:`run_step` does the work on the device, which is the same each time, with those inputs.
    - :meth:`finish_step` does what the host decides afterwards.

    The first two never wait for the device. Figures stay on the device until :meth:`read_figures`.

    Raises:
        InputError: The networks do not fit the images, or a penalty applies to a critic with BatchNorm.
        EnvironmentProblem: The weights of the frozen network are not installed.
    """

    def __init__(
        self, recipe: Recipe, real: RealImages, size: int, device: torch.device, precision: torch.dtype, ranks: Ranks
    ) -> None:
        self.device = device
        self._real, self._precision, self._ranks = real, precision, ranks
        self._loss = LOSSES[recipe.loss]
        self._augmentation = Augmentation(recipe, device)
        self._inputs = StepInputs(recipe, real, self._augmentation.uniforms, device, ranks)
        # Only float16 underflows. Its gradients are scaled up, and a step in which they overflow is skipped.
        scaled = precision == torch.float16
        self._scaler_g, self._scaler_d = (torch.amp.GradScaler(device.type, enabled=scaled) for _ in range(2))
        # In a skipped step the penalty, which comes from a gradient, is not finite.
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
            scaler.scale(self._one)  # This makes the scaler's tensors, so that they exist from the first step on.
        self._moments = self._matching() if recipe.moments_weight else None
        if recipe.compile:
            self.generator.compile()
            for critic in self.critics.values():
                critic.head.compile()

    @property
    def recipe(self) -> Recipe:
        return self._inputs.recipe

    def slow_down(self, factor: float) -> None:
        """Multiply the recipe's learning rates by ``factor`` from the next step on."""
        self._inputs.rate_factor = factor

    def follow(self, recipe: Recipe) -> None:
        """Continue with the schedules of ``recipe``, which must be equal in all other fields."""
        self._inputs.recipe = recipe

    def _critic(self, name: str, head: nn.Module) -> Critic:
        recipe = self.recipe
        head = placed(head, self.device)
        # The weights are tensors, because a compiled graph would be compiled again for each new number.
        values = self._inputs.values
        weights = PenaltyWeights(*(values.get(field) if field else None for field in PENALTIES[name]))
        if weights.any and any(isinstance(layer, _BatchNorm) for layer in head.modules()):
            raise InputError(
                f"The recipe {recipe.name} penalises the gradient of a discriminator with BatchNorm, in which the "
                "logit of one image depends on the other images of the batch.",
                'Set discriminator_norm = "none" or "layer". Both work with discriminator_weight_norm = "spectral".',
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
        # The rate is a tensor whose value changes between steps. capturable keeps the step's number on the device, too.
        return torch.optim.Adam(parameters, rate, betas, fused=self.device.type != "mps", capturable=cuda)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return without_autocast(self.device)
        return torch.autocast(self.device.type, self._precision)

    def __call__(self, step: int) -> StepFigures:
        """Run step number ``step``: ``d_steps`` updates of the discriminator, then one of the generator."""
        self.load_inputs(step)
        figures = self.run_step(self.penalised(step))
        self.finish_step(step)
        return figures

    def penalised(self, step: int) -> tuple[bool, ...]:
        """Return, for each update of the discriminator in a step, whether it has penalties.

        Steps with the same answer are of the same kind: :meth:`run_step` does the same work in them.
        """
        # Lazy regularisation (Karras et al., arXiv:1912.04958, section 3.1): penalties are rare and weigh more.
        recipe = self.recipe
        updates = range(step * recipe.d_steps, (step + 1) * recipe.d_steps)
        return tuple(number % recipe.penalty_every == 0 for number in updates)

    def load_inputs(self, step: int) -> None:
        """Draw the inputs of step ``step`` and send them to the device."""
        betas = (self.recipe.beta1, self.recipe.at("beta2", step * self.recipe.images_per_step))
        for optimizer in (self._optimizer_g, self._optimizer_d):
            for group in optimizer.param_groups:
                group["betas"] = betas
        self._inputs.load(step)

    def run_step(self, penalised: tuple[bool, ...]) -> StepFigures:
        """Run the step whose inputs are loaded, and return its figures.

        Args:
            penalised: The answer of :meth:`penalised` for this step.
        """
        for update, with_penalties in zip(self._inputs.updates, penalised, strict=True):
            # The generator learns only from the images of the last update.
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
        """Compute the optimal map of the moments if it is due.

        It needs the host and is computed only once in a while. Before the running averages cover enough images there
        is no map, and the moments add nothing to the loss.
        """
        if self._moments is None:
            return
        shown, half_life = (step + 1) * self.recipe.images_per_step, self.recipe.moments_half_life_kimg * 1000
        between = half_life * MOMENTS_SOLVED
        if shown >= half_life and (shown - self.recipe.images_per_step) // between != shown // between:
            self._moments.solve_map()

    def read_figures(self) -> Figures:
        """Return the mean of each figure over the steps since the last call; None for a figure that no step had.

        This is the only method of a step's figures that waits for the device.
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
        """Return the inputs of each critic for the images of an update."""
        with torch.no_grad():
            real = self._augmentation(self._real.images(update.sent, update.mirrored), update.uniforms[0])
        # The frozen network costs more than everything else, so it processes generated images once. With features, the
        # generator learns from the same augmented images that the discriminator saw.
        fake = self._augmentation((fake if FEATURES in self.critics else fake.detach()).float(), update.uniforms[1])
        return {name: critic.inputs(real, fake) for name, critic in self.critics.items()}

    def _learn_d(self, update: UpdateInputs, seen: dict[str, CriticInputs], *, penalised: bool) -> dict[str, LossTerms]:
        """Run one update of the discriminator."""
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
        """Run one update of the generator, which made the images ``fake``; return its loss."""
        losses = []
        for name, critic in self.critics.items():
            with self._autocast():
                # Without features, the generator's images are augmented again for its own update.
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
        """Return the weighted loss of the moments of the generator's features."""
        assert seen.pooled_real is not None and seen.pooled_fake is not None, "the recipe has features"
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
        """Return the names of the networks in which a weight or a statistic is not finite. Waits for the device."""
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
        """Undo the steps of the block: the state is restored afterwards, each tensor at its address in memory."""
        with restored_afterwards(self._parts()):
            yield
        self._means.reset()
