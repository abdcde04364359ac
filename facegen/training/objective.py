"""What a critic learns from: its adversarial loss and its penalties, as one function that can be compiled whole."""

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
    """The penalties' weights, 0-dim float32 each, or None for a penalty that the recipe does not have."""

    r1: Tensor | None
    r2: Tensor | None
    gradient_penalty: Tensor | None

    @property
    def any(self) -> bool:
        return any(weight is not None for weight in self)


#: Of an update without penalties.
NO_PENALTY = PenaltyWeights(None, None, None)


class LossTerms(NamedTuple):
    """A critic's adversarial loss and its weighted penalties (scalars), and the logits they are of: [B] or [B, L]."""

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
    """A critic's loss on what it sees of real and generated images: [B, 3, S, S], or maps of their features.

    Args:
        discriminator: the critic's head, which makes logits of what it sees.
        mix: uniforms [B] that say where between them WGAN-GP looks.
        scale: float16's loss scale, 0-dim; 1 in other precisions.
    """
    penalty = torch.zeros((), device=mix.device)

    def logits_of(seen: Seen, weight: Tensor | None) -> Tensor:
        # Two calls, not one over both: BatchNorm must not mix real and generated statistics.
        nonlocal penalty
        if weight is None:
            return discriminator(seen).float()
        logits, gradient = input_gradient(discriminator, seen, scale)
        penalty = penalty + weight * zero_centred(gradient)
        return logits

    real_logits, fake_logits = logits_of(real, weights.r1), logits_of(fake, weights.r2)
    if weights.gradient_penalty is not None:
        assert isinstance(real, Tensor) and isinstance(fake, Tensor), "WGAN-GP's penalty is of pixels"
        _, gradient = input_gradient(discriminator, between(real, fake, mix), scale)
        penalty = penalty + weights.gradient_penalty * one_centred(gradient)
    return LossTerms(loss.discriminator(real_logits, fake_logits), penalty, real_logits, fake_logits)


#: (parameters by name, real, fake, mix, weights, scale) → (their gradients by name, the terms of the loss).
GradientFunction = Callable[
    [dict[str, Tensor], Seen, Seen, Tensor, PenaltyWeights, Tensor], tuple[dict[str, Tensor], LossTerms]
]


def compiled_gradients(
    network: nn.Module, loss: Loss, autocast: Callable[[], AbstractContextManager[object]]
) -> GradientFunction:
    """The gradients of :func:`evaluate_loss` in D's parameters, as one compiled graph, its double backward included.

    ``torch.compile`` cannot cut a graph within a double backward pass. As a function of the parameters there is no
    need to: both derivatives are :func:`torch.func.grad`'s, and nothing is left to autograd. The gradients are those
    of ``scale`` times loss and penalties.
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

    # A critic sees one shape. After another critic, or another batch, torch would make sizes symbolic, with which
    # the double backward of a grouped convolution fails in torch 2.6.
    gradients: GradientFunction = torch.compile(torch.func.grad(scaled, has_aux=True), fullgraph=True, dynamic=False)
    return gradients
