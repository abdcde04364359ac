"""A recipe's critics: their inputs, their updates, and their calibration on real images."""

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

#: Number of batches of real images from which the scale of the moments is measured.
MOMENTS_BATCHES = 8

#: A function that makes a context in which networks compute in the run's precision.
Autocast = Callable[[], AbstractContextManager[object]]


class CriticInputs(NamedTuple):
    """The inputs of a critic in one update.

    When the recipe has features, the generator's gradient flows through ``fake`` and ``pooled_fake``.
    """

    real: Seen
    fake: Seen
    pooled_real: Tensor | None = None
    pooled_fake: Tensor | None = None


@dataclass(frozen=True)
class Critic:
    """A critic: one of the networks that together form the discriminator.

    Attributes:
        head: The network that learns. It turns the critic's input into logits: [B], or [B, L] for patches.
        view: The frozen network that turns images into the head's input. None: the head sees the images themselves.
        weights: The weights of the penalties on the head's gradient.
        gradients: The gradients of the head's loss as one compiled graph. None: the recipe is not compiled or has no
            penalties.
    """

    head: nn.Module
    view: FeatureView | None
    weights: PenaltyWeights
    gradients: GradientFunction | None

    def inputs(self, real: Tensor, fake: Tensor) -> CriticInputs:
        """Return the critic's inputs for real and generated images, float [B, 3, S, S] each."""
        if self.view is None:
            return CriticInputs(real, fake)
        with torch.no_grad():
            of_real = self.view(real)
        of_fake = self.view(fake)
        return CriticInputs(of_real.maps, of_fake.maps, of_real.pooled, of_fake.pooled)

    def backward(
        self, seen: CriticInputs, mix: Tensor, weights: PenaltyWeights, scale: Tensor, *, loss: Loss, autocast: Autocast
    ) -> LossTerms:
        """Give the head's parameters the gradients of ``scale`` times the loss and penalties; return the loss terms.

        Args:
            seen: The inputs of the critic.
            mix: Uniform random numbers [B] that place WGAN-GP's points between real and generated images.
            weights: ``self.weights``, or :data:`.NO_PENALTY` in an update without penalties.
            scale: The loss scale of float16, 0-dim; 1 in other precisions.
            loss: The adversarial loss.
            autocast: Makes the context in which the head computes.
        """
        real, fake = seen.real, _detached(seen.fake)
        if self.gradients is not None and weights.any:
            parameters: dict[str, Tensor] = dict(self.head.named_parameters())
            with torch.no_grad():
                gradients, terms = self.gradients(parameters, real, fake, mix, weights, scale)
                for key, parameter in parameters.items():
                    # A copy is needed. A compiler chooses its own memory layout for the gradients, and fused Adam reads
                    # the memory of a parameter and of its gradient in parallel.
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
        """Return the head's logits for the generator to learn from: the gradient flows only to ``seen``.

        The head's own parameters get no gradient, which saves a third of its backward pass.
        """
        # requires_grad_(False) would change the parameters in place, and a compiled head may not notice: torch 2.11
        # assumes that a module's parameters are unchanged until others take their place.
        frozen = {name: parameter.detach() for name, parameter in self.head.named_parameters()}
        logits: Tensor = functional_call(self.head, frozen, (seen,))
        return logits


def _detached(seen: Seen) -> Seen:
    """Return the input without its gradient."""
    return seen.detach() if isinstance(seen, Tensor) else tuple(each.detach() for each in seen)


def calibrated_view(
    recipe: Recipe, real: RealImages, device: torch.device, precision: torch.dtype, ranks: Ranks
) -> FeatureView:
    """Return the feature view of the critic of features, with each scale divided by its magnitude on real images."""
    view = feature_view(recipe, precision).to(device)
    view.mixing.calibrate(view.tapped(real(0, None)))
    squares = view.mixing.scales.square()  # Their mean over the ranks is that of the global batch.
    ranks.average([squares])
    view.mixing.scales.copy_(squares.sqrt())
    return view


def calibrated_moments(
    recipe: Recipe, real: RealImages, view: FeatureView, device: torch.device, ranks: Ranks
) -> MomentMatching:
    """Return the moment matching of the view's features, in units of the standard deviations of real features."""
    moments = MomentMatching(pooled_dims(recipe.features)).to(device)
    with torch.no_grad():
        pooled = torch.cat([view(real(number, None)).pooled for number in range(MOMENTS_BATCHES)])
        averages = torch.stack([pooled.mean(0), pooled.square().mean(0)])
    ranks.average([averages])
    moments.calibrate(*averages)
    return moments
