"""LeNet-5, both as courses teach it and as published. LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (11), 1998."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby

import torch
from torch import Tensor, nn

from .architecture import Architecture
from .classifier import Classifier, scaled
from .initialisers import init_he_, init_lecun_
from .layers import Activation, Concat, ConvNormAct, Norm
from .pooling import make_pool

C1, C3, C5, F6 = 6, 16, 120, 84

#: Table I of the paper: the maps of S2 that each of the 16 maps of C3 is connected to.
CONNECTIONS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), which maps ±1 to ±1. LeCun et al. 1998, section II.B and appendix A."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Select(nn.Module):
    """Selects some of the channels: [B, C, ...] → [B, len(channels), ...]."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels: Tensor
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.channels)


class Subsampling(nn.Sequential):
    """The average of each 2×2 window, times a coefficient plus a bias, both learned per channel; then ``activation``.

    LeCun et al. 1998, section II.B. The paper sums the four pixels, which differs by a factor of four in the
    coefficient. [B, C, H, W] → [B, C, H/2, W/2].
    """

    def __init__(self, channels: int, activation: Activation) -> None:
        # A depthwise 1×1 convolution has exactly these two parameters per channel.
        scale = ConvNormAct(channels, channels, 1, groups=channels, norm=None, activation=activation)
        super().__init__(OrderedDict(pool=make_pool("average", 2), scale=scale))


class LeNet5(Classifier):
    """LeNet-5. LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998.

    ``lenet5`` is figure 2 as courses teach it: with ReLU, max pooling and a C3 that is connected to all of S2.
    ``lenet5_1998`` is the paper's network, with the connections of table I, trainable subsampling and a scaled tanh
    after every layer up to F6. Up to F6 it has the 60,000 trainable parameters of section II.B. The paper's output
    compares F6 with fixed drawings of the digits (RBF units). Here it is a linear layer in both.

    ======= ============ ============ ===============
    layer   output       ``lenet5``   ``lenet5_1998``
    ======= ============ ============ ===============
    c1      6 × 28²      156          156
    s2      6 × 14²      0            12
    c3      16 × 10²     2,416        1,516
    s4      16 × 5²      0            32
    c5      120          48,120       48,120
    f6      84           10,164       10,164
    output  10           850          850
    total                61,706       60,850
    ======= ============ ============ ===============

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels of C1.
        size: Side of the images, in pixels. Below 32, C1 pads by 2, as the paper pads digits from 28 to 32. The input
            of C5 is 5×5: all of S4 at 28 and 32, averages of S4 for other sizes.
        norm: The norm of C1 and C3, see :func:`.make_norm`.
        original: Use the paper's connections, subsampling, activation and initialisation.

    Raises:
        ValueError: ``original`` with a ``width`` below 3, for which table I leaves maps of C3 without an input.
    """

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        width: int = C1,
        size: int = 32,
        norm: Norm = None,
        original: bool = False,
    ) -> None:
        super().__init__()
        if original and width < 3:
            raise ValueError(f"the connections of table I need a width of at least 3, not {width}")
        c3, c5, f6 = (scaled(channels, width, C1) for channels in (C3, C5, F6))
        activation: Callable[[], nn.Module] = ScaledTanh if original else nn.ReLU
        conv = partial(ConvNormAct, kernel_size=5, norm=norm, activation=activation)
        layers: OrderedDict[str, nn.Module] = OrderedDict(c1=conv(in_channels, width, padding=2 if size < 32 else 0))
        if original:
            layers["s2"] = Subsampling(width, activation)
            branches = []
            # Consecutive maps with equally many inputs form one grouped convolution: 6 maps of 3, 9 of 4 and 1 of 6.
            for inputs, maps in groupby(connections(width, c3), len):
                seen = list(maps)
                grouped = conv(inputs * len(seen), len(seen), groups=len(seen), padding=0)
                branches.append(nn.Sequential(Select(list(chain(*seen))), grouped))
            layers["c3"] = Concat(*branches)
            layers["s4"] = Subsampling(c3, activation)
        else:
            layers["s2"] = make_pool("max", 2)
            layers["c3"] = conv(width, c3, padding=0)
            layers["s4"] = make_pool("max", 2)
        self.features = nn.Sequential(layers)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.Flatten())
        self.classifier = nn.Sequential(
            OrderedDict(
                c5=nn.Linear(c3 * 5 * 5, c5), act5=activation(), f6=nn.Linear(c5, f6), act6=activation(),
                output=nn.Linear(f6, classes),
            )
        )  # fmt: skip
        if original:
            init_lecun_(self)
        else:
            init_he_(self)


def connections(width: int, maps: int) -> Iterator[list[int]]:
    """Return table I for any number of maps.

    The ``width`` maps of S2 share its 6 columns. The ``maps`` maps of C3 take its 16 rows in turn.
    """
    for row in range(maps):
        seen = CONNECTIONS[row % len(CONNECTIONS)]
        yield [channel for channel in range(width) if channel * C1 // width in seen]


_SOURCE = "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998, "
ARCHITECTURES = (
    Architecture("lenet5", LeNet5, (1, 32, 32), _SOURCE + "figure 2, with ReLU and max pooling"),
    Architecture("lenet5_1998", partial(LeNet5, original=True), (1, 32, 32), _SOURCE + "figure 2 and table I"),
)
