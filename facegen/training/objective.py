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


class Weights(NamedTuple):
    """The penalties' weights, 0-dim float32 each, or None for a penalty that the recipe does not have."""

    r1: Tensor | None
    r2: Tensor | None
    gradient_penalty: Tensor | None

    @property
    def any(self) -> bool:
        return any(weight is not None for weight in self)


#: Of a turn without penalties.
NO_PENALTY = Weights(None, None, None)


class Judged(NamedTuple):
    """What came of a critic's turn: its adversarial loss and weighted penalties (scalars), its logits [B] or [B, L]."""

    loss: Tensor
    penalty: Tensor
    real: Tensor
    fake: Tensor


def judge(
    discriminator: Callable[[Any], Tensor],
    real: Seen,
    fake: Seen,
    mix: Tensor,
    *,
    loss: Loss,
    weights: Weights,
    scale: Tensor,
) -> Judged:
    """A critic's turn on what it sees of real and generated images: [B, 3, S, S], or maps of their features.

    Args:
        discriminator: what judges.
        mix: uniforms [B] that say where between them WGAN-GP looks.
        scale: float16's loss scale, 0-dim; 1 in other precisions.
    """
    penalty = torch.zeros((), device=mix.device)

    def look(seen: Seen, weight: Tensor | None) -> Tensor:
        # Two calls, not one over both: BatchNorm must not mix real and generated statistics.
        nonlocal penalty
        if weight is None:
            return discriminator(seen).float()
        logits, gradient = input_gradient(discriminator, seen, scale)
        penalty = penalty + weight * zero_centred(gradient)
        return logits

    real_logits, fake_logits = look(real, weights.r1), look(fake, weights.r2)
    if weights.gradient_penalty is not None:
        assert isinstance(real, Tensor) and isinstance(fake, Tensor), "WGAN-GP's penalty is of pixels"
        _, gradient = input_gradient(discriminator, between(real, fake, mix), scale)
        penalty = penalty + weights.gradient_penalty * one_centred(gradient)
    return Judged(loss.discriminator(real_logits, fake_logits), penalty, real_logits, fake_logits)


#: (parameters by name, real, fake, mix, weights, scale) → (their gradients by name, the turn).
Gradients = Callable[[dict[str, Tensor], Seen, Seen, Tensor, Weights, Tensor], tuple[dict[str, Tensor], Judged]]


def compiled_gradients(
    network: nn.Module, loss: Loss, autocast: Callable[[], AbstractContextManager[object]]
) -> Gradients:
    """The gradients of :func:`judge` in D's parameters, as one compiled graph, its double backward included.

    ``torch.compile`` cannot cut a graph within a double backward pass. As a function of the parameters there is no
    need to: both derivatives are :func:`torch.func.grad`'s, and nothing is left to autograd. The gradients are those
    of ``scale`` times loss and penalties.
    """

    def scaled(
        parameters: dict[str, Tensor], real: Seen, fake: Seen, mix: Tensor, weights: Weights, scale: Tensor
    ) -> tuple[Tensor, Judged]:
        def discriminator(seen: Seen) -> Tensor:
            with autocast():
                logits: Tensor = functional_call(network, parameters, (seen,))
            return logits

        judged = judge(discriminator, real, fake, mix, loss=loss, weights=weights, scale=scale)
        return (judged.loss + judged.penalty) * scale, judged

    gradients: Gradients = torch.compile(torch.func.grad(scaled, has_aux=True), fullgraph=True)
    return gradients
