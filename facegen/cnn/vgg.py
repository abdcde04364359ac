"""VGG-11, 13, 16 and 19, with and without BatchNorm. Simonyan and Zisserman, arXiv:1409.1556."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial

from torch import nn

from .architecture import Architecture
from .blocks.fully_connected import FullyConnected
from .classifier import SMALL, Classifier, scaled
from .initialisers import init_he_
from .layers import ConvNormAct, Norm

#: Convolutions in each stage: table 1, columns A, B, D and E.
REPEATS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)
HIDDEN = 4096


class VGG(Classifier):
    """VGG. Simonyan and Zisserman, arXiv:1409.1556, table 1.

    All convolutions are 3×3. Three of them have the receptive field of one 7×7, with fewer parameters and more ReLUs.
    Each stage ends in 2×2 max pooling. The ``_bn`` forms are not in the paper, which is older than BatchNorm.

    ========= =========== =========== =========== =========== ===========
    stage     output      ``vgg11``   ``vgg13``   ``vgg16``   ``vgg19``
    ========= =========== =========== =========== =========== ===========
    stage1    64 × 112²   1,792       38,720      38,720      38,720
    stage2    128 × 56²   73,856      221,440     221,440     221,440
    stage3    256 × 28²   885,248     885,248     1,475,328   2,065,408
    stage4    512 × 14²   3,539,968   3,539,968   5,899,776   8,259,584
    stage5    512 × 7²    4,719,616   4,719,616   7,079,424   9,439,232
    fc6       4096        102,764,544 102,764,544 102,764,544 102,764,544
    fc7       4096        16,781,312  16,781,312  16,781,312  16,781,312
    fc8       1000        4,097,000   4,097,000   4,097,000   4,097,000
    total                 132,863,336 133,047,848 138,357,544 143,667,240
    BatchNorm             5,504       5,888       8,448       11,008
    ========= =========== =========== =========== =========== ===========

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels of the first stage; fc6 and fc7 scale with it too.
        size: Side of the images, in pixels. Up to 96 pixels, the last pooling is left out, and the input of fc6 is
            the whole map, whose side is a sixteenth of the image's. Above 96, sizes other than 224 are averaged to
            7×7.
        norm: The norm, see :func:`.make_norm`; None is the paper's.
        dropout: Dropout probability after fc6 and fc7.
        repeats: Number of convolutions per stage, a value of ``REPEATS``.
    """

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: int = CHANNELS[0],
        size: int = 224,
        norm: Norm = None,
        dropout: float = 0.5,
        repeats: Sequence[int] = REPEATS[16],
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for stage, (convolutions, published) in enumerate(zip(repeats, CHANNELS, strict=True), 1):
            channels = scaled(published, width, CHANNELS[0])
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(1, convolutions + 1):
                # torchvision's published networks keep the bias, although BatchNorm makes it redundant.
                layers[f"conv{index}"] = ConvNormAct(in_channels, channels, 3, bias=True, norm=norm)
                in_channels = channels
            if size > SMALL or stage < len(CHANNELS):
                layers["pool"] = nn.MaxPool2d(2)
            self.features.add_module(f"stage{stage}", nn.Sequential(layers))
        positions = 7 if size > SMALL else max(size // 16, 1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(positions), nn.Flatten())
        hidden = scaled(HIDDEN, width, CHANNELS[0])
        self.classifier = FullyConnected(channels * positions**2, hidden, classes, dropout=dropout)
        # The paper initialises the deep networks from trained shallow ones. He's initialisation, published a year
        # later, makes that unnecessary.
        init_he_(self)


def _key_rules(repeats: Sequence[int], batch_norm: bool) -> Iterator[tuple[str, str]]:
    """Return rules for torchvision, which numbers all convolutions, norms, ReLUs and poolings.

    features.5.weight → features.stage2.conv1.conv.weight, classifier.3.weight → classifier.fc7.weight.
    """
    index = 0
    for stage, convolutions in enumerate(repeats, 1):
        for conv in range(1, convolutions + 1):
            for layer in ("conv", "norm", "act") if batch_norm else ("conv", "act"):
                if layer != "act":
                    yield rf"^features\.{index}\.", f"features.stage{stage}.conv{conv}.{layer}."
                index += 1
        index += 1
    for number, index in enumerate((0, 3, 6), 6):
        yield rf"^classifier\.{index}\.", f"classifier.fc{number}."


ARCHITECTURES = tuple(
    Architecture(
        f"vgg{depth}{'_bn' if norm else ''}",
        partial(VGG, repeats=repeats, norm=norm),
        (3, 224, 224),
        "Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1"
        + (", with BatchNorm (arXiv:1502.03167)" if norm else ""),
        keys=tuple(_key_rules(repeats, norm is not None)),
    )
    for norm in (None, "batch")
    for depth, repeats in REPEATS.items()
)
