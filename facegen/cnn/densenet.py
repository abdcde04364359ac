"""DenseNet: the input of a layer is the maps of all earlier layers. Huang et al., arXiv:1608.06993."""

from __future__ import annotations

from functools import partial

from torch import nn

from .architecture import Architecture
from .blocks.dense import DenseLayer, Transition
from .blocks.residual import PreActivation
from .blocks.stem import stem
from .classifier import Classifier, scaled
from .initialisers import init_he_
from .layers import Norm
from .pooling import GlobalPool

#: Channels after the stem, and channels that each layer adds. DenseNet-161 has 96 and 48, in the same proportion.
STEM, GROWTH = 64, 32


class DenseNet(Classifier):
    """Dense blocks, each of whose layers adds ``width/2`` channels, and transitions that halve channels and size.

    Huang et al., arXiv:1608.06993, table 1. The networks for ImageNet and their parameters:

    =========== ====== ============ ============ ============ ============
    layer       output DenseNet-121 DenseNet-161 DenseNet-169 DenseNet-201
    =========== ====== ============ ============ ============ ============
    stem        112²   9,536        14,304       9,536        9,536
    dense1      56²    335,040      751,392      335,040      335,040
    transition1 28²    33,280       74,496       33,280       33,280
    dense2      28²    919,680      2,061,504    919,680      919,680
    transition2 14²    132,096      296,448      132,096      132,096
    dense3      14²    2,837,760    11,548,224   4,316,160    8,071,680
    transition3 7²     526,336      2,234,496    821,760      1,609,216
    dense4      7²     2,158,080    9,486,720    5,913,600    6,978,560
    postact     7²     2,048        4,416        3,328        3,840
    linear      1000   1,025,000    2,209,000    1,665,000    1,921,000
    total              7,978,856    28,681,000   14,149,480   20,013,928
    =========== ====== ============ ============ ============ ============

    Args:
        layers: Number of layers of each dense block.
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after the stem, twice the growth.
        size: Side of the images, in pixels. Up to 96 pixels, the stem is one 3×3 at stride 1 and no pooling follows it.
        norm: The norm, see :func:`.make_norm`.
    """

    def __init__(
        self,
        *,
        layers: tuple[int, ...] = (6, 12, 24, 16),
        classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        size: int = 224,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.features = stem(in_channels, width, size, norm=norm)
        channels, growth = width, scaled(GROWTH, width, STEM)
        for block, count in enumerate(layers, 1):
            if block > 1:
                self.features.add_module(f"transition{block - 1}", Transition(channels, channels // 2, norm=norm))
                channels //= 2
            dense = nn.Sequential()
            for layer in range(1, count + 1):
                dense.add_module(f"layer{layer}", DenseLayer(channels, growth, norm=norm))
                channels += growth
            self.features.add_module(f"dense{block}", dense)
        self.features.add_module("postact", PreActivation(channels, norm=norm))
        self.pool = GlobalPool()
        self.classifier = nn.Linear(channels, classes)
        init_he_(self)


#: Rules for torchvision, which numbers all blocks, and all norms and convolutions of a layer. The files that it
#: downloads write norm1 as norm.1 and so on.
KEYS = (
    (r"^features\.(conv|norm)0\.", r"features.stem.\1."),
    (r"^features\.norm5\.", "features.postact.norm."),
    (r"(\.denselayer\d+)\.norm\.?1\.", r"\1.preact.norm."),
    (r"(\.denselayer\d+)\.conv\.?1\.", r"\1.conv1.conv."),
    (r"(\.denselayer\d+)\.norm\.?2\.", r"\1.conv1.norm."),
    (r"(\.denselayer\d+)\.conv\.?2\.", r"\1.conv2."),
    (r"^features\.denseblock(\d)\.denselayer", r"features.dense\1.layer"),
)

#: (depth, layers of each dense block, channels after the stem): arXiv:1608.06993, table 1. The authors' code has 161.
IMAGENET = (
    (121, (6, 12, 24, 16), 64),
    (161, (6, 12, 36, 24), 96),
    (169, (6, 12, 32, 32), 64),
    (201, (6, 12, 48, 32), 64),
)

ARCHITECTURES = tuple(
    Architecture(
        f"densenet{depth}",
        partial(DenseNet, layers=layers, width=width),
        (3, 224, 224),
        "Huang et al., Densely Connected Convolutional Networks, arXiv:1608.06993, table 1",
        keys=KEYS,
    )
    for depth, layers, width in IMAGENET
)
