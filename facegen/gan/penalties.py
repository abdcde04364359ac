"""Penalties on D's gradient with respect to what it sees, a few lines each with its equation.

What it sees are images [B, C, H, W], or a tuple of feature maps of them.

The gradient comes from :func:`torch.func.grad`, which regular autograd differentiates once more and ``torch.compile``
captures whole. A D with BatchNorm cannot be penalised: its logit of one image depends on all others of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facegen.gan.critics import Seen, of_images


def input_gradient(
    discriminator: Callable[[Any], Tensor], seen: Seen, scale: Tensor | float = 1.0
) -> tuple[Tensor, Any]:
    """D's logits and their gradients in what it sees: [B, C, H, W] → logits [B], ∂D(xᵢ)/∂xᵢ [B, C, H, W], both float32.

    Where an image has several logits [B, L], of patches, it is their mean's gradient. Of a tuple of maps it is a tuple.
    Both can be differentiated again. ``scale`` multiplies the logits on the way back and divides the gradient after:
    what float16 needs so that small gradients do not underflow.
    """

    def total(seen: Seen) -> tuple[Tensor, Tensor]:
        logits = discriminator(seen).float()
        return of_images(logits).sum() * scale, logits

    gradient, logits = torch.func.grad(total, has_aux=True)(seen)
    if isinstance(gradient, tuple):
        return logits, tuple(of_map.float() / scale for of_map in gradient)
    return logits, gradient.float() / scale


def zero_centred(gradient: Seen) -> Tensor:
    """½·E‖∇D(x)‖²: R₁ for real x and R₂ for generated x; its weight is γ.

    Mescheder et al., arXiv:1801.04406, equations 9 and 10. Gradients [B, C, H, W], or of several maps, → scalar.
    """
    if isinstance(gradient, tuple):
        return torch.stack([zero_centred(of_map) for of_map in gradient]).sum()
    return gradient.square().sum((1, 2, 3)).mean() / 2


def one_centred(gradient: Tensor) -> Tensor:
    """E[(‖∇D(x̂)‖ − 1)²], of images between real and generated ones (:func:`between`); its weight is λ.

    Gulrajani et al., arXiv:1704.00028, equation 3 (WGAN-GP). Gradients [B, C, H, W] → scalar.
    """
    # The root's derivative at 0 is infinite, and a D that is flat somewhere does give 0.
    return (gradient.square().sum((1, 2, 3)).add(1e-12).sqrt() - 1).square().mean()


def between(real: Tensor, fake: Tensor, uniforms: Tensor) -> Tensor:
    """x̂ = ε·x + (1 − ε)·G(z). Gulrajani et al., arXiv:1704.00028, algorithm 1. Images [B, C, H, W], ε [B] in [0, 1)."""
    return torch.lerp(fake, real, uniforms[:, None, None, None].to(real.dtype))
