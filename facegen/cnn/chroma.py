"""A low-pass filter on an image's colour, which photographs have at about half the resolution of their brightness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autocast import without_autocast

#: Weights of red, green and blue in brightness: BT.601's, which JPEG has too.
LUMA = (0.299, 0.587, 0.114)
TAPS = 7


def low_pass(cutoff: float) -> Tensor:
    """A sinc in a Hamming window: float64 [TAPS], which add up to 1. scipy.signal.firwin's default.

    Args:
        cutoff: where the gain is about a half, as a share of the highest frequency that pixels can hold, in (0, 1).
    """
    place = torch.arange(TAPS, dtype=torch.float64) - TAPS // 2
    window = 0.54 + 0.46 * torch.cos(2 * math.pi * place / (TAPS - 1))
    kernel = cutoff * torch.sinc(cutoff * place) * window
    return kernel / kernel.sum()


class ChromaLowPass(nn.Module):
    """Leaves an image's brightness as it is and smooths its colour, along rows and along columns.

    Of x with brightness y = 0.299 R + 0.587 G + 0.114 B it makes y + h ∗ (x − y), where h is :func:`low_pass`. A filter
    is linear, so that is one 7×7 convolution from colours to colours, with nothing to learn. The image is mirrored at
    its borders.

    Cameras' sensors and JPEG's 4:2:0 keep colour at half the resolution. A discriminator hardly sees that a generator
    does not, as fine colour has next to no power beside brightness; Inception's features do see it.

    Args:
        cutoff: of the filter. 0.7 is what the spectra of CelebA at 64×64 say (docs/training.md).
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
