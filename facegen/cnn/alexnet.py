"""AlexNet for two GPUs (2012) and for one (2014, torchvision's). Krizhevsky, Sutskever and Hinton, NIPS 2012."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from math import sqrt
from typing import NamedTuple

from torch import nn

from .architecture import Architecture
from .blocks.fully_connected import FullyConnected
from .classifier import SMALL, Classifier, scaled
from .initialisers import init_he_, init_normal_
from .layers import ConvNormAct, Norm


class Layout(NamedTuple):
    """The differences between the networks of the two papers, apart from groups."""

    channels: tuple[int, int, int, int, int]
    padding: int  # padding of conv1
    response_norm: bool  # local response normalisation after conv1 and conv2


NIPS_2012 = Layout((96, 256, 384, 384, 256), padding=0, response_norm=True)
ONE_WEIRD_TRICK = Layout((64, 192, 384, 256, 256), padding=2, response_norm=False)
HIDDEN = 4096
#: Side of the last map, which is the input of fc6.
POSITIONS = 6

#: Equation of section 3.3: b = a / (k + α Σ a²)^β with the sum over n = 5 channels, k = 2, α = 1e-4, β = 0.75. torch
#: divides α by n, the paper does not.
_response_norm = partial(nn.LocalResponseNorm, 5, alpha=5 * 1e-4, beta=0.75, k=2.0)
_max_pool = partial(nn.MaxPool2d, 3, stride=2)


class AlexNet(Classifier):
    """AlexNet. Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural Networks, 2012,
    figure 2; torchvision's is of Krizhevsky, One Weird Trick for Parallelizing CNNs, arXiv:1404.5997.

    ReLU, overlapping pooling, dropout and local response normalisation. Each of two GPUs held half of the maps. They
    exchanged maps before conv3 only, so conv2, conv4 and conv5 have two groups. ``groups=1`` gives the single-GPU
    form, 62,378,344 parameters. The figure gives an input of 224 pixels, but only 227 pixels give its first layer's
    55×55 without padding.

    ======= ========= ============ =========== ======================= ==========
    layer   kernel    ``alexnet``  parameters  ``alexnet_torchvision`` parameters
    ======= ========= ============ =========== ======================= ==========
    conv1   11, by 4  96 × 55²     34,944      64 × 55²                23,296
    pool1   3, by 2   96 × 27²                 64 × 27²
    conv2   5         256 × 27²    307,456     192 × 27²               307,392
    pool2   3, by 2   256 × 13²                192 × 13²
    conv3   3         384 × 13²    885,120     384 × 13²               663,936
    conv4   3         384 × 13²    663,936     256 × 13²               884,992
    conv5   3         256 × 13²    442,624     256 × 13²               590,080
    pool5   3, by 2   256 × 6²                 256 × 6²
    fc6               4096         37,752,832  4096                    37,752,832
    fc7               4096         16,781,312  4096                    16,781,312
    fc8               1000         4,097,000   1000                    4,097,000
    total                          60,965,224                          61,100,840
    ======= ========= ============ =========== ======================= ==========

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after conv1; fc6 and fc7 scale with it too.
        size: Side of the images, in pixels. Up to 96 pixels, conv1 is 3×3 and keeps the size, the input of fc6 is 3×3
            at 32 pixels and 6×6 from 56 pixels, and weights are initialised as by He. Other maps are averaged to the
            input size of fc6.
        norm: The norm, see :func:`.make_norm`; None for the published local response norm, which any other norm
            replaces.
        dropout: Dropout probability after fc6 and fc7 (torchvision applies it before them, which is the same in eval
            mode).
        groups: Groups of conv2, conv4 and conv5. ValueError unless the number divides ``width``.
        layout: ``NIPS_2012`` or ``ONE_WEIRD_TRICK``.
    """

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: int = NIPS_2012.channels[0],
        size: int = 227,
        norm: Norm = None,
        dropout: float = 0.5,
        groups: int = 2,
        layout: Layout = NIPS_2012,
    ) -> None:
        super().__init__()
        if width % groups:
            raise ValueError(f"a width of {width} cannot be divided into {groups} groups")
        base = layout.channels[0]
        _, second, third, fourth, fifth = (scaled(c, width, base, multiple=groups) for c in layout.channels)
        if size > SMALL:
            conv1 = ConvNormAct(in_channels, width, 11, stride=4, padding=layout.padding, norm=norm)
            positions = POSITIONS
        else:
            conv1 = ConvNormAct(in_channels, width, 3, norm=norm)
            positions = min(max(size // 8 - 1, 1), POSITIONS)
        normalise = _response_norm if layout.response_norm and norm is None else nn.Identity
        self.features = nn.Sequential(
            OrderedDict(
                conv1=conv1,
                norm1=normalise(),
                pool1=_max_pool(),
                conv2=ConvNormAct(width, second, 5, groups=groups, norm=norm),
                norm2=normalise(),
                pool2=_max_pool(),
                conv3=ConvNormAct(second, third, 3, norm=norm),
                conv4=ConvNormAct(third, fourth, 3, groups=groups, norm=norm),
                conv5=ConvNormAct(fourth, fifth, 3, groups=groups, norm=norm),
                pool5=_max_pool(),
            )
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(positions), nn.Flatten())
        self.classifier = FullyConnected(fifth * positions**2, scaled(HIDDEN, width, base), classes, dropout=dropout)
        if size > SMALL:
            self._initialise(base / width)
        else:
            # A standard deviation of 0.01 suits the published layers. With so few inputs, the biases would hide the
            # images.
            init_he_(self, fan="in")

    def _initialise(self, narrower: float) -> None:
        """Initialise as in section 5: N(0, 0.01), and biases of 1 so that ReLUs start with positive inputs.

        A network that is ``narrower`` by a factor sums fewer inputs. Weights scaled by √narrower keep the deviation
        of the sums.
        """
        init_normal_(self, 0.01 * sqrt(narrower))
        for name, parameter in self.named_parameters():
            if re.fullmatch(r"(features\.conv[245]\.conv|classifier\.fc[67])\.bias", name):
                nn.init.ones_(parameter)


#: torchvision's numbers of convolutions and linear layers also count ReLUs, poolings and dropouts:
#: features.3.weight → features.conv2.conv.weight, classifier.1.weight → classifier.fc6.weight.
KEYS = (
    *((rf"^features\.{index}\.", f"features.conv{layer}.conv.") for layer, index in enumerate((0, 3, 6, 8, 10), 1)),
    *((rf"^classifier\.{index}\.", f"classifier.fc{layer}.") for layer, index in enumerate((1, 4, 6), 6)),
)

ARCHITECTURES = (
    Architecture(
        "alexnet",
        AlexNet,
        (3, 227, 227),
        "Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, NIPS 2012, figure 2",
    ),
    Architecture(
        "alexnet_without_response_norm",
        partial(AlexNet, layout=NIPS_2012._replace(response_norm=False)),
        (3, 227, 227),
        "The same without response norms, as in Simonyan and Zisserman, Very Deep Convolutional Networks for "
        "Large-Scale Image Recognition, arXiv:1409.1556, section 2.3",
    ),
    Architecture(
        "alexnet_torchvision",
        partial(AlexNet, layout=ONE_WEIRD_TRICK, width=ONE_WEIRD_TRICK.channels[0], size=224, groups=1),
        (3, 224, 224),
        "Krizhevsky, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv:1404.5997, section 5",
        keys=KEYS,
    ),
)
