"""A low-pass filter for the colour of images, as photographs have colour at about half the resolution of brightness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autocast import without_autocast

#: Weights of red, green and blue in the brightness, from BT.601. JPEG uses them too.
LUMA = (0.299, 0.587, 0.114)
TAPS = 7


def low_pass(cutoff: float) -> Tensor:
    """Compute a sinc in a Hamming window, float64 [TAPS], with a sum of 1. It equals scipy.signal.firwin's default.

    Args:
        cutoff: The frequency at which the gain is about one half, as a fraction of the highest frequency of pixels,
            in (0, 1).
    """
    place = torch.arange(TAPS, dtype=torch.float64) - TAPS // 2
    window = 0.54 + 0.46 * torch.cos(2 * math.pi * place / (TAPS - 1))
    kernel = cutoff * torch.sinc(cutoff * place) * window
    return kernel / kernel.sum()


class ChromaLowPass(nn.Module):
    """Keeps the brightness of an image and smooths its colour, along rows and columns.

    For x with brightness y = 0.299 R + 0.587 G + 0.114 B, the output is y + h ∗ (x − y), where h is :func:`low_pass`.
    This is linear, so it is one 7×7 convolution from colours to colours, with fixed weights. The image is mirrored at
    its borders.

    Camera sensors and JPEG's 4:2:0 store colour at half the resolution. A generator does not. The discriminator
    hardly notices the difference, because fine colour has almost no power compared with brightness, but Inception's
    features do.

    Args:
        cutoff: Cutoff of the filter. The spectra of CelebA at 64×64 suggest 0.7 (docs/training-log.md).
    """

    kernel: Tensor

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        taps = low_pass(cutoff)
        smooth = torch.outer(taps, taps)
        same = torch.zeros_like(smooth)
        same[TAPS // 2, TAPS // 2] = 1
        brightness = torch.tensor(LUMA, dtype=torch.float64).expand(3, 3)  # [to, from]
        colour = torch.eye(3, dtype=torch.float64) - brightness
        kernel = brightness[..., None, None] * same + colour[..., None, None] * smooth
        self.register_buffer("kernel", kernel.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Float [B, 3, H, W] in [−1, 1], H and W above 3 → float32 of the same shape and range."""
        with without_autocast(images.device):
            padded = F.pad(images.to(self.kernel.dtype), (TAPS // 2,) * 4, mode="reflect")
            return F.conv2d(padded, self.kernel).clamp(-1, 1)
