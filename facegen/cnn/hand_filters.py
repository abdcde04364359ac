"""Filters set by hand, which show what a convolution does: a blur and two edge filters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .architecture import FILTER, UNIT, Architecture

BOX = ((1 / 25,) * 5,) * 5
#: Prewitt's filter: three times the mean over three rows of the difference between right and left.
VERTICAL_EDGE = ((-1.0, 0.0, 1.0),) * 3
HORIZONTAL_EDGE = tuple(zip(*VERTICAL_EDGE, strict=True))


class HandFilter(nn.Module):
    """One convolution with a fixed filter, for images in [0, 1].

    The border pixels are repeated as padding, so that the border is neither darkened nor looks like an edge.

    Args:
        kernel: Rows of numbers. Both sides must be odd.
        in_channels: Channels of the images.
        each_channel: Filter every channel separately, [B, C, H, W] → [B, C, H, W]. Otherwise filter their mean, → [B,
            1, H, W].
    """

    def __init__(self, *, kernel: Sequence[Sequence[float]], in_channels: int = 3, each_channel: bool = False) -> None:
        super().__init__()
        height, width = len(kernel), len(kernel[0])
        out_channels = groups = in_channels if each_channel else 1
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            (height, width),
            padding=(height // 2, width // 2),
            padding_mode="replicate",
            groups=groups,
            bias=False,
        )
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor(kernel) * groups / in_channels)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the filter at every pixel of float [B, in_channels, H, W]."""
        filtered: Tensor = self.conv(x)
        return filtered


ARCHITECTURES = tuple(
    Architecture(
        name,
        partial(HandFilter, kernel=kernel, each_channel=each_channel),
        (3, 128, 128),
        source,
        FILTER,
        pixels=UNIT,
    )
    for name, kernel, each_channel, source in (
        ("blur", BOX, True, "the mean of 5×5 pixels"),
        ("vertical_edge", VERTICAL_EDGE, False, "Prewitt, Object Enhancement and Extraction, 1970"),
        ("horizontal_edge", HORIZONTAL_EDGE, False, "Prewitt, Object Enhancement and Extraction, 1970"),
    )
)
