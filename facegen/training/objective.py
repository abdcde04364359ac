"""What D learns from: its adversarial loss and its penalties, as one function that can be compiled whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

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
    """What came of D's turn: the adversarial loss and the weighted penalties (scalars), and the logits [B]."""

    loss: Tensor
    penalty: Tensor
    real: Tensor
    fake: Tensor


def judge(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    *,
    loss: Loss,
    weights: Weights,
    scale: Tensor,
) -> Judged:
    """D's turn on real and generated images [B, 3, S, S].

    Args:
        mix: uniforms [B] that say where between them WGAN-GP looks.
        scale: float16's loss scale, 0-dim; 1 in other precisions.
    """
    penalty = torch.zeros((), device=real.device)

    def look(images: Tensor, weight: Tensor | None) -> Tensor:
        # Two calls, not one over both: BatchNorm must not mix real and generated statistics.
        nonlocal penalty
        if weight is None:
            return discriminator(images).float()
        logits, gradient = input_gradient(discriminator, images, scale)
        penalty = penalty + weight * zero_centred(gradient)
        return logits

    real_logits, fake_logits = look(real, weights.r1), look(fake, weights.r2)
    if weights.gradient_penalty is not None:
        _, gradient = input_gradient(discriminator, between(real, fake, mix), scale)
        penalty = penalty + weights.gradient_penalty * one_centred(gradient)
    return Judged(loss.discriminator(real_logits, fake_logits), penalty, real_logits, fake_logits)


#: (parameters by name, real, fake, mix, weights, scale) → (their gradients by name, the turn).
Gradients = Callable[[dict[str, Tensor], Tensor, Tensor, Tensor, Weights, Tensor], tuple[dict[str, Tensor], Judged]]


def compiled_gradients(network: nn.Module, loss: Loss, autocast: Callable[[], torch.autocast]) -> Gradients:
    """The gradients of :func:`judge` in D's parameters, as one compiled graph, its double backward included.

    ``torch.compile`` cannot cut a graph within a double backward pass. As a function of the parameters there is no
    need to: both derivatives are :func:`torch.func.grad`'s, and nothing is left to autograd. The gradients are those
    of ``scale`` times loss and penalties.
    """

    def scaled(
        parameters: dict[str, Tensor], real: Tensor, fake: Tensor, mix: Tensor, weights: Weights, scale: Tensor
    ) -> tuple[Tensor, Judged]:
        def discriminator(images: Tensor) -> Tensor:
            with autocast():
                logits: Tensor = functional_call(network, parameters, (images,))
            return logits

        judged = judge(discriminator, real, fake, mix, loss=loss, weights=weights, scale=scale)
        return (judged.loss + judged.penalty) * scale, judged

    gradients: Gradients = torch.compile(torch.func.grad(scaled, has_aux=True), fullgraph=True)
    return gradients
