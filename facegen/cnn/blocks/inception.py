"""Inception modules: parallel branches with different filter sizes, whose outputs are concatenated."""

from __future__ import annotations

from torch import nn

from ..layers import Concat, ConvNormAct, Norm

#: (kernel, channels) of a convolution with "same" padding. The sides of the kernel may differ.
Conv = tuple[int | tuple[int, int], int]


class InceptionModule(Concat):
    """Parallel branches. ``out_channels`` is their total number of channels."""

    def __init__(self, out_channels: int, *branches: nn.Module) -> None:
        super().__init__(*branches)
        self.out_channels = out_channels


def _branch(
    in_channels: int, *convs: Conv, norm: Norm, pool: nn.Module | None = None, halve: bool = False
) -> nn.Sequential:
    """Build a branch: an optional pooling and a chain of convolutions.

    With ``halve`` the last one has stride 2 and no padding.
    """
    layers = [] if pool is None else [pool]
    for index, (kernel_size, channels) in enumerate(convs, 1):
        last = halve and index == len(convs)
        layers.append(
            ConvNormAct(
                in_channels, channels, kernel_size, stride=2 if last else 1, padding=0 if last else None, norm=norm
            )
        )
        in_channels = channels
    return nn.Sequential(*layers)


def _average() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=1, padding=1)


class NaiveInception(InceptionModule):
    """Parallel 1×1, 3×3, 5×5 and max pooling. Szegedy et al., arXiv:1409.4842, figure 2a.

    The pooling keeps all its channels, so each module is wider than the one before, and the large filters must
    process all channels. [B, C, H, W] → [B, ones + threes + fives + C, H, W].
    """

    def __init__(self, in_channels: int, ones: int, threes: int, fives: int, *, norm: Norm = "batch") -> None:
        super().__init__(
            ones + threes + fives + in_channels,
            _branch(in_channels, (1, ones), norm=norm),
            _branch(in_channels, (3, threes), norm=norm),
            _branch(in_channels, (5, fives), norm=norm),
            _branch(in_channels, norm=norm, pool=nn.MaxPool2d(3, stride=1, padding=1)),
        )


class Inception(InceptionModule):
    """An inception module with bottlenecks: 1×1 convolutions before the large filters and after the pooling.

    Szegedy et al., arXiv:1409.4842, figure 2b; the channels are the columns of table 1.
    [B, C, H, W] → [B, ones + threes + fives + projection, H, W].

    Args:
        in_channels: Channels of the input.
        ones: Number of filters of the 1×1 branch. reduce3, threes: Number of 1×1 filters, then of 3×3 filters.
        reduce5, fives: Number of 1×1 filters, then of 5×5 filters.
        projection: 1×1 filters after the pooling.
        large: Side of the largest filter. torchvision's GoogLeNet has 3 instead of the paper's 5.
        norm: The norm, see :func:`.make_norm`.
    """

    def __init__(
        self,
        in_channels: int,
        ones: int,
        reduce3: int,
        threes: int,
        reduce5: int,
        fives: int,
        projection: int,
        *,
        large: int = 5,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(
            ones + threes + fives + projection,
            _branch(in_channels, (1, ones), norm=norm),
            _branch(in_channels, (1, reduce3), (3, threes), norm=norm),
            _branch(in_channels, (1, reduce5), (large, fives), norm=norm),
            _branch(in_channels, (1, projection), norm=norm, pool=nn.MaxPool2d(3, stride=1, padding=1)),
        )


class InceptionA(InceptionModule):
    """Inception-v3's module for 35×35, with a branch of two 3×3 filters beside the 5×5.

    Szegedy et al., arXiv:1512.00567, figure 5. [B, C, H, W] → [B, ones + fives + threes + projection, H, W].
    """

    def __init__(
        self,
        in_channels: int,
        ones: int,
        reduce5: int,
        fives: int,
        reduce3: int,
        threes: int,
        projection: int,
        *,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(
            ones + fives + threes + projection,
            _branch(in_channels, (1, ones), norm=norm),
            _branch(in_channels, (1, reduce5), (5, fives), norm=norm),
            _branch(in_channels, (1, reduce3), (3, threes), (3, threes), norm=norm),
            _branch(in_channels, (1, projection), norm=norm, pool=_average()),
        )


class InceptionB(InceptionModule):
    """From 35×35 to 17×17: strided convolutions beside the pooling. Szegedy et al., arXiv:1512.00567, figure 10.

    [B, C, H, W] → [B, wide + threes + C, ⌊(H − 1)/2⌋, ⌊(W − 1)/2⌋].
    """

    def __init__(self, in_channels: int, wide: int, reduce3: int, threes: int, *, norm: Norm = "batch") -> None:
        super().__init__(
            wide + threes + in_channels,
            _branch(in_channels, (3, wide), norm=norm, halve=True),
            _branch(in_channels, (1, reduce3), (3, threes), (3, threes), norm=norm, halve=True),
            _branch(in_channels, norm=norm, pool=nn.MaxPool2d(3, stride=2)),
        )


class InceptionC(InceptionModule):
    """For 17×17: 7×7 filters factorised into 1×7 and 7×1. Szegedy et al., arXiv:1512.00567, figure 6 with n = 7.

    [B, C, H, W] → [B, 4·wide, H, W].

    Args:
        in_channels: Channels of the input.
        wide: Number of filters at the end of each branch.
        narrow: Number of filters within a branch.
        norm: The norm, see :func:`.make_norm`.
    """

    def __init__(self, in_channels: int, wide: int, narrow: int, *, norm: Norm = "batch") -> None:
        row, column = (1, 7), (7, 1)
        once: tuple[Conv, ...] = ((1, narrow), (row, narrow), (column, wide))
        twice: tuple[Conv, ...] = ((1, narrow), (column, narrow), (row, narrow), (column, narrow), (row, wide))
        super().__init__(
            4 * wide,
            _branch(in_channels, (1, wide), norm=norm),
            _branch(in_channels, *once, norm=norm),
            _branch(in_channels, *twice, norm=norm),
            _branch(in_channels, (1, wide), norm=norm, pool=_average()),
        )


class InceptionD(InceptionModule):
    """From 17×17 to 8×8: figure 10 of arXiv:1512.00567 again, bottlenecks and a factorised 7×7 before the strides.

    [B, C, H, W] → [B, threes + sevens + C, ⌊(H − 1)/2⌋, ⌊(W − 1)/2⌋].
    """

    def __init__(self, in_channels: int, threes: int, sevens: int, *, norm: Norm = "batch") -> None:
        factorised: tuple[Conv, ...] = ((1, sevens), ((1, 7), sevens), ((7, 1), sevens), (3, sevens))
        super().__init__(
            threes + sevens + in_channels,
            _branch(in_channels, (1, sevens), (3, threes), norm=norm, halve=True),
            _branch(in_channels, *factorised, norm=norm, halve=True),
            _branch(in_channels, norm=norm, pool=nn.MaxPool2d(3, stride=2)),
        )


class InceptionE(InceptionModule):
    """For 8×8: branches that fork into 1×3 and 3×1. Szegedy et al., arXiv:1512.00567, figure 7.

    [B, C, H, W] → [B, ones + 4·threes + projection, H, W].

    Args:
        in_channels: Channels of the input.
        ones: Filters of the 1×1 branch.
        threes: Number of filters before the fork and of each of its ends.
        expand: Number of 1×1 filters of the branch that has an additional 3×3.
        projection: 1×1 filters after the pooling.
        norm: The norm, see :func:`.make_norm`.
    """

    def __init__(
        self, in_channels: int, ones: int, threes: int, expand: int, projection: int, *, norm: Norm = "batch"
    ) -> None:
        def fork() -> Concat:
            return Concat(
                ConvNormAct(threes, threes, (1, 3), norm=norm),
                ConvNormAct(threes, threes, (3, 1), norm=norm),
            )

        super().__init__(
            ones + 4 * threes + projection,
            _branch(in_channels, (1, ones), norm=norm),
            _branch(in_channels, (1, threes), norm=norm).append(fork()),
            _branch(in_channels, (1, expand), (3, threes), norm=norm).append(fork()),
            _branch(in_channels, (1, projection), norm=norm, pool=_average()),
        )
