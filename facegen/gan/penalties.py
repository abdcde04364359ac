"""Penalties on the gradient of the discriminator in its input, each with its equation.

The input consists of images [B, C, H, W], or of a tuple of their feature maps.

The gradient comes from :func:`torch.func.grad`, which autograd can differentiate again and ``torch.compile`` captures
whole. A discriminator with BatchNorm cannot be penalised, because its logit of one image depends on all other images
of the batch.
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
    """Compute logits and input gradients: [B, C, H, W] → logits [B], ∂D(xᵢ)/∂xᵢ [B, C, H, W], both float32.

    If an image has several logits [B, L], one for each patch, the gradient is that of their mean. For a tuple of maps
    it is a tuple. Logits and gradients can be differentiated again.

    Args:
        scale: Multiplies the logits before the backward pass and divides the gradient afterwards. float16 needs it so
            that small gradients do not underflow.
    """

    def total(seen: Seen) -> tuple[Tensor, Tensor]:
        logits = discriminator(seen).float()
        return of_images(logits).sum() * scale, logits

    gradient, logits = torch.func.grad(total, has_aux=True)(seen)
    if isinstance(gradient, tuple):
        return logits, tuple(of_map.float() / scale for of_map in gradient)
    return logits, gradient.float() / scale


def zero_centred(gradient: Seen) -> Tensor:
    """Compute ½·E‖∇D(x)‖²: R₁ for real x, R₂ for generated x. Its weight is γ.

    Mescheder et al., arXiv:1801.04406, equations 9 and 10. Gradients [B, C, H, W], or those of several maps, → scalar.
    """
    if isinstance(gradient, tuple):
        return torch.stack([zero_centred(of_map) for of_map in gradient]).sum()
    return gradient.square().sum((1, 2, 3)).mean() / 2


def one_centred(gradient: Tensor) -> Tensor:
    """Compute E[(‖∇D(x̂)‖ − 1)²] for images between real and generated ones (:func:`between`). Its weight is λ.

    Gulrajani et al., arXiv:1704.00028, equation 3 (WGAN-GP). Gradients [B, C, H, W] → scalar.
    """
    # The derivative of the root is infinite at 0, and a discriminator that is flat somewhere does give 0.
    return (gradient.square().sum((1, 2, 3)).add(1e-12).sqrt() - 1).square().mean()


def between(real: Tensor, fake: Tensor, uniforms: Tensor) -> Tensor:
    """Compute x̂ = ε·x + (1 − ε)·G(z) for images [B, C, H, W] and ε [B] in [0, 1).

    Gulrajani et al., arXiv:1704.00028, algorithm 1.
    """
    return torch.lerp(fake, real, uniforms[:, None, None, None].to(real.dtype))
