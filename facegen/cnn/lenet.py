"""LeNet-5, as courses teach it and as published. LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86 (11), 1998."""

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

#: The paper's table I: the maps of S2 that each of C3's 16 maps sees.
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
    """Some of the channels: [B, C, ...] → [B, len(channels), ...]."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels: Tensor
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.channels)


class Subsampling(nn.Sequential):
    """The average of each 2×2, times a coefficient, plus a bias, both learned for each channel; then ``activation``.

    LeCun et al. 1998, section II.B. They add the four pixels up, which is a coefficient of a quarter.
    [B, C, H, W] → [B, C, H/2, W/2].
    """

    def __init__(self, channels: int, activation: Activation) -> None:
        # A 1×1 convolution of every channel by itself has exactly these two parameters a channel.
        scale = ConvNormAct(channels, channels, 1, groups=channels, norm=None, activation=activation)
        super().__init__(OrderedDict(pool=make_pool("average", 2), scale=scale))


class LeNet5(Classifier):
    """LeNet-5. LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998.

    Courses teach figure 2 with ReLU, max pooling and a C3 that sees all of S2: ``lenet5``. The paper's,
    ``lenet5_1998``, has the connections of table I, trainable subsampling and a scaled tanh after every layer up to F6;
    up to there it has the 60,000 trainable parameters of section II.B. The paper's output compares F6 with fixed
    drawings of the digits (RBF units); here it is a linear layer in both.

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
        classes: logits.
        in_channels: of the images.
        width: channels of C1.
        size: side of the images. Below 32, C1 pads by 2, as the paper pads digits of 28 to 32. C5 sees 5×5 positions:
            all of S4 at 28 and 32, averages of it elsewhere.
        norm: of C1 and C3, see :func:`.make_norm`.
        original: the paper's connections, subsampling, squashing and initialisation.

    Raises:
        ValueError: ``original`` with a ``width`` below 3, where table I leaves maps of C3 without an input.
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
            # Maps in a row that see equally many others are one grouped convolution: 6 of 3, 9 of 4 and 1 of 6.
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
    """Table I for any number of maps: S2's ``width`` share its 6 columns, C3's ``maps`` take its 16 rows in turn."""
    for row in range(maps):
        seen = CONNECTIONS[row % len(CONNECTIONS)]
        yield [channel for channel in range(width) if channel * C1 // width in seen]


_SOURCE = "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998, "
ARCHITECTURES = (
    Architecture("lenet5", LeNet5, (1, 32, 32), _SOURCE + "figure 2, with ReLU and max pooling"),
    Architecture("lenet5_1998", partial(LeNet5, original=True), (1, 32, 32), _SOURCE + "figure 2 and table I"),
)
