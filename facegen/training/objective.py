"""A critic's objective: its adversarial loss and its penalties, as one function that can be compiled whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from facegen.gan.critics import Seen
from facegen.gan.losses import Loss
from facegen.gan.penalties import between, input_gradient, one_centred, zero_centred


class PenaltyWeights(NamedTuple):
    """The weights of the penalties, 0-dim float32 each; None for a penalty that the recipe does not have."""

    r1: Tensor | None
    r2: Tensor | None
    gradient_penalty: Tensor | None

    @property
    def any(self) -> bool:
        return any(weight is not None for weight in self)


#: The weights of an update that has no penalties.
NO_PENALTY = PenaltyWeights(None, None, None)


class LossTerms(NamedTuple):
    """The terms of a critic's loss: the adversarial loss and the weighted penalties (scalars), and the logits.

    The logits ``real`` and ``fake`` have the shape [B], or [B, L] for patches.
    """

    loss: Tensor
    penalty: Tensor
    real: Tensor
    fake: Tensor


def evaluate_loss(
    discriminator: Callable[[Any], Tensor],
    real: Seen,
    fake: Seen,
    mix: Tensor,
    *,
    loss: Loss,
    weights: PenaltyWeights,
    scale: Tensor,
) -> LossTerms:
    """Compute a critic's loss on real and generated images.

    Args:
        discriminator: The head of the critic. It turns the critic's input into logits.
        real: The critic's input for real images: images [B, 3, S, S], or a tuple of feature maps.
        fake: The critic's input for generated images, in the same form.
        mix: Uniform random numbers [B] that place WGAN-GP's points between real and generated images.
        loss: The adversarial loss.
        weights: The weights of the penalties.
        scale: The loss scale of float16, 0-dim; 1 in other precisions.
    """
    penalty = torch.zeros((), device=mix.device)

    def logits_of(seen: Seen, weight: Tensor | None) -> Tensor:
        # Real and generated images take two calls, because BatchNorm must not mix their statistics.
        nonlocal penalty
        if weight is None:
            return discriminator(seen).float()
        logits, gradient = input_gradient(discriminator, seen, scale)
        penalty = penalty + weight * zero_centred(gradient)
        return logits

    real_logits, fake_logits = logits_of(real, weights.r1), logits_of(fake, weights.r2)
    if weights.gradient_penalty is not None:
        assert isinstance(real, Tensor) and isinstance(fake, Tensor), "WGAN-GP's penalty needs pixels"
        _, gradient = input_gradient(discriminator, between(real, fake, mix), scale)
        penalty = penalty + weights.gradient_penalty * one_centred(gradient)
    return LossTerms(loss.discriminator(real_logits, fake_logits), penalty, real_logits, fake_logits)


#: A function (parameters by name, real, fake, mix, weights, scale) → (gradients by name, terms of the loss).
GradientFunction = Callable[
    [dict[str, Tensor], Seen, Seen, Tensor, PenaltyWeights, Tensor], tuple[dict[str, Tensor], LossTerms]
]


def compiled_gradients(
    network: nn.Module, loss: Loss, autocast: Callable[[], AbstractContextManager[object]]
) -> GradientFunction:
    """Compile the gradients of :func:`evaluate_loss` for a critic's parameters as one graph, double backward included.

    ``torch.compile`` cannot split a graph within a double backward pass. A function of the parameters avoids the
    split: :func:`torch.func.grad` takes both derivatives, and nothing is left to autograd. The gradients are those of
    ``scale`` times the sum of loss and penalties.
    """

    def scaled(
        parameters: dict[str, Tensor], real: Seen, fake: Seen, mix: Tensor, weights: PenaltyWeights, scale: Tensor
    ) -> tuple[Tensor, LossTerms]:
        def discriminator(seen: Seen) -> Tensor:
            with autocast():
                logits: Tensor = functional_call(network, parameters, (seen,))
            return logits

        terms = evaluate_loss(discriminator, real, fake, mix, loss=loss, weights=weights, scale=scale)
        return (terms.loss + terms.penalty) * scale, terms

    # A critic always sees one shape. Without dynamic=False, torch would make sizes symbolic once it has seen another
    # critic or batch size. With symbolic sizes, the double backward of a grouped convolution fails in torch 2.6.
    gradients: GradientFunction = torch.compile(torch.func.grad(scaled, has_aux=True), fullgraph=True, dynamic=False)
    return gradients
