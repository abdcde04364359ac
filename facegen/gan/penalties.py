"""Penalties on D's gradient with respect to images, a few lines each with its equation.

The gradient comes from :func:`torch.func.grad`, which regular autograd differentiates once more and ``torch.compile``
captures whole. A D with BatchNorm cannot be penalised: its logit of one image depends on all others of the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def input_gradient(
    discriminator: Callable[[Tensor], Tensor], images: Tensor, scale: Tensor | float = 1.0
) -> tuple[Tensor, Tensor]:
    """D's logits and their gradients: images [B, C, H, W] → logits [B], ∂D(xᵢ)/∂xᵢ [B, C, H, W], both float32.

    Both can be differentiated again. ``scale`` multiplies the logits on the way back and divides the gradient after:
    what float16 needs so that small gradients do not underflow.
    """

    def total(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = discriminator(images).float()
        return logits.sum() * scale, logits

    gradient, logits = torch.func.grad(total, has_aux=True)(images)
    return logits, gradient.float() / scale


def zero_centred(gradient: Tensor) -> Tensor:
    """½·E‖∇D(x)‖²: R₁ for real x and R₂ for generated x; its weight is γ.

    Mescheder et al., arXiv:1801.04406, equations 9 and 10. Gradients [B, C, H, W] → scalar.
    """
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
