"""A recipe's critics: what each sees of images, what it learns from, and how it is made ready on real images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from facegen.gan.critics import FeatureView, Seen, pooled_dims
from facegen.gan.losses import Loss
from facegen.gan.moments import MomentMatching
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.networks import feature_view
from facegen.training.objective import GradientFunction, LossTerms, PenaltyWeights, evaluate_loss
from facegen.training.recipe import Recipe

#: Batches of real images that the scale of the moments is taken over.
MOMENTS_BATCHES = 8

#: Makes a context in which networks compute in the run's precision.
Autocast = Callable[[], AbstractContextManager[object]]


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

    def backward(
        self, seen: CriticInputs, mix: Tensor, weights: PenaltyWeights, scale: Tensor, *, loss: Loss, autocast: Autocast
    ) -> LossTerms:
        """Give the head's parameters the gradients of ``scale`` times its loss and penalties; return what it lost.

        Args:
            mix, scale: as for :func:`.evaluate_loss`.
            weights: ``self.weights``, or none of them in an update without penalties.
        """
        real, fake = seen.real, _detached(seen.fake)
        if self.gradients is not None and weights.any:
            parameters: dict[str, Tensor] = dict(self.head.named_parameters())
            with torch.no_grad():
                gradients, terms = self.gradients(parameters, real, fake, mix, weights, scale)
                for key, parameter in parameters.items():
                    # A copy, because a compiler lays gradients out as it likes, and fused Adam goes through the memory
                    # of parameter and gradient side by side.
                    parameter.grad = torch.empty_like(parameter).copy_(gradients[key])
            return terms

        def logits_of(seen: Seen) -> Tensor:
            with autocast():
                logits: Tensor = self.head(seen)
            return logits

        terms = evaluate_loss(logits_of, real, fake, mix, loss=loss, weights=weights, scale=scale)
        ((terms.loss + terms.penalty) * scale).backward()
        return terms

    def frozen_logits(self, seen: Seen) -> Tensor:
        """The head's logits of what it sees, as G learns from them: the gradient flows to ``seen`` alone.

        The head's own parameters take none, which saves a third of its backward pass.
        """
        # requires_grad_(False) would be a change in place, which a compiled head may not notice: torch 2.11 takes a
        # module's parameters for the same ones as long as no other is put in their place.
        frozen = {name: parameter.detach() for name, parameter in self.head.named_parameters()}
        logits: Tensor = functional_call(self.head, frozen, (seen,))
        return logits


def _detached(seen: Seen) -> Seen:
    """The same without a gradient."""
    return seen.detach() if isinstance(seen, Tensor) else tuple(each.detach() for each in seen)


def calibrated_view(
    recipe: Recipe, real: RealImages, device: torch.device, precision: torch.dtype, ranks: Ranks
) -> FeatureView:
    """What the critic of features sees through, each of its scales divided by what real images have there."""
    view = feature_view(recipe, precision).to(device)
    view.mixing.calibrate(view.tapped(real(0, None)))
    squares = view.mixing.scales.square()  # whose mean over the ranks is the global batch's
    ranks.average([squares])
    view.mixing.scales.copy_(squares.sqrt())
    return view


def calibrated_moments(
    recipe: Recipe, real: RealImages, view: FeatureView, device: torch.device, ranks: Ranks
) -> MomentMatching:
    """What matches the moments of the view's features, in units of the real features' standard deviations."""
    moments = MomentMatching(pooled_dims(recipe.features)).to(device)
    with torch.no_grad():
        pooled = torch.cat([view(real(number, None)).pooled for number in range(MOMENTS_BATCHES)])
        averages = torch.stack([pooled.mean(0), pooled.square().mean(0)])
    ranks.average([averages])
    moments.calibrate(*averages)
    return moments
