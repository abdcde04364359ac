"""Filters set by hand, which show what a convolution does before any is learned: a blur and two edges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .architecture import FILTER, UNIT, Architecture

BOX = ((1 / 25,) * 5,) * 5
#: Prewitt's: the mean over three rows of the difference between right and left, times three.
VERTICAL_EDGE = ((-1.0, 0.0, 1.0),) * 3
HORIZONTAL_EDGE = tuple(zip(*VERTICAL_EDGE, strict=True))


class HandFilter(nn.Module):
    """One convolution with a filter that stays as it is; it takes images in [0, 1].

    The border is padded by its own pixels, so that it is neither darkened nor taken for an edge.

    Args:
        kernel: rows of numbers; odd in both directions.
        in_channels: of the images.
        each_channel: filter every channel by itself, [B, C, H, W] → [B, C, H, W]; else their mean, → [B, 1, H, W].
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
        """Float [B, in_channels, H, W] → the filter's answer at every pixel."""
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
