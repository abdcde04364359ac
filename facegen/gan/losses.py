"""Adversarial losses on logits, a few lines each with its equation. D's logit is positive for "real"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus


def non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """−E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], as softplus, which is the same and stable in any precision.

    Goodfellow et al., arXiv:1406.2661, equation 1. Logits [B] each → scalar; ln 4 ≈ 1.386 when D cannot tell.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """−E[log σ(D(G(z)))]. Goodfellow et al., arXiv:1406.2661, end of section 3. Logits [B] → scalar."""
    return softplus(-fake).mean()


@dataclass(frozen=True)
class Loss:
    """The two sides of a game: ``discriminator(real, fake)`` and ``generator(fake)`` on logits [B]."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


#: What a recipe can name.
LOSSES: dict[str, Loss] = {"non_saturating": Loss(non_saturating_discriminator, non_saturating_generator)}
