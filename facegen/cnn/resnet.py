"""ResNet, its pre-activation form, the smaller versions for CIFAR, and the plain networks for comparison.

He et al., arXiv:1512.03385 and arXiv:1603.05027.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from .architecture import Architecture
from .blocks.residual import (
    BasicBlock,
    Bottleneck,
    PreActBasicBlock,
    PreActBottleneck,
    PreActivation,
    Shortcut,
)
from .blocks.stem import stem
from .classifier import Classifier
from .initialisers import init_he_
from .layers import Norm
from .pooling import GlobalPool

Block = type[BasicBlock] | type[Bottleneck] | type[PreActBasicBlock] | type[PreActBottleneck]


class ResNet(Classifier):
    """Stages of residual blocks; each stage after the first halves the size and doubles the channels.

    He et al., arXiv:1512.03385, table 1. The networks for ImageNet and their parameters. Up to ResNet-34 blocks are
    basic (b = 1), beyond it they are bottlenecks (b = 4):

    ====== ========== ========== ========== ========== ========== ==========
    layer  output     ResNet-18  ResNet-34  ResNet-50  ResNet-101 ResNet-152
    ====== ========== ========== ========== ========== ========== ==========
    stem   64 × 112²  9,536      9,536      9,536      9,536      9,536
    layer1 64b × 56²  147,968    221,952    215,808    215,808    215,808
    layer2 128b × 28² 525,568    1,116,416  1,219,584  1,219,584  2,339,840
    layer3 256b × 14² 2,099,712  6,822,400  7,098,368  26,090,496 40,613,888
    layer4 512b × 7²  8,393,728  13,114,368 14,964,736 14,964,736 14,964,736
    linear 1000       513,000    513,000    2,049,000  2,049,000  2,049,000
    total             11,689,512 21,797,672 25,557,032 44,549,160 60,192,808
    ====== ========== ========== ========== ========== ========== ==========

    The networks for CIFAR, section 4.2, whose shortcuts have no parameters:

    ====== ======== ========= ========= ========= ========= ==========
    layer  output   ResNet-20 ResNet-32 ResNet-44 ResNet-56 ResNet-110
    ====== ======== ========= ========= ========= ========= ==========
    stem   16 × 32² 464       464       464       464       464
    layer1 16 × 32² 14,016    23,360    32,704    42,048    84,096
    layer2 32 × 16² 51,072    88,192    125,312   162,432   329,472
    layer3 64 × 8²  203,520   351,488   499,456   647,424   1,313,280
    linear 10       650       650       650       650       650
    total           269,722   464,154   658,586   853,018   1,727,962
    ====== ======== ========= ========= ========= ========= ==========

    With pre-activation blocks, the first block uses the activation of the stem, and a norm and an activation,
    ``postact``, follow the last block (He et al., arXiv:1603.05027, appendix).

    Args:
        block: A block class of ``blocks/residual.py``.
        repeats: Number of blocks per stage.
        shortcut: The shortcut, see :func:`.make_shortcut`. None gives the plain network.
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after the stem.
        size: Side of the images, in pixels. Up to 96 pixels, the stem is one 3×3 at stride 1 and no pooling follows it.
        norm: The norm, see :func:`.make_norm`.
    """

    def __init__(
        self,
        *,
        block: Block = BasicBlock,
        repeats: tuple[int, ...] = (2, 2, 2, 2),
        shortcut: Shortcut = "projection",
        classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        size: int = 224,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.features = stem(in_channels, width, size, norm=norm)
        channels = width
        for stage, count in enumerate(repeats):
            blocks = nn.Sequential()
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(block(channels, width * 2**stage, stride=stride, shortcut=shortcut, norm=norm))
                channels = width * 2**stage * block.expansion
            self.features.add_module(f"layer{stage + 1}", blocks)
        if issubclass(block, (PreActBasicBlock, PreActBottleneck)):
            self.features.get_submodule("layer1.0").preact = nn.Identity()
            self.features.add_module("postact", PreActivation(channels, norm=norm))
        self.pool = GlobalPool()
        self.classifier = nn.Linear(channels, classes)
        init_he_(self)


#: Rules for torchvision, whose blocks have conv1, bn1, conv2, bn2, … and the projection downsample.0 and .1.
KEYS = (
    (r"^conv1\.", "features.stem.conv."),
    (r"^bn1\.", "features.stem.norm."),
    (r"^(layer\d\.\d+)\.conv(\d)\.", r"features.\1.conv\2.conv."),
    (r"^(layer\d\.\d+)\.bn(\d)\.", r"features.\1.conv\2.norm."),
    (r"^(layer\d\.\d+)\.downsample\.0\.", r"features.\1.shortcut.conv."),
    (r"^(layer\d\.\d+)\.downsample\.1\.", r"features.\1.shortcut.norm."),
    (r"^fc\.", "classifier."),
)

#: (depth, block, its pre-activation form, blocks of each stage): arXiv:1512.03385, table 1.
IMAGENET = (
    (18, BasicBlock, PreActBasicBlock, (2, 2, 2, 2)),
    (34, BasicBlock, PreActBasicBlock, (3, 4, 6, 3)),
    (50, Bottleneck, PreActBottleneck, (3, 4, 6, 3)),
    (101, Bottleneck, PreActBottleneck, (3, 4, 23, 3)),
    (152, Bottleneck, PreActBottleneck, (3, 8, 36, 3)),
)


def _for_cifar(name: str, depth: int, block: Block, shortcut: Shortcut, source: str) -> Architecture:
    """Return a network for CIFAR.

    It has a stem, three stages of n blocks with two convolutions each, and a linear layer, so depth = 6n + 2.
    """
    repeats = ((depth - 2) // 6,) * 3
    build = partial(ResNet, block=block, repeats=repeats, shortcut=shortcut, classes=10, width=16, size=32)
    return Architecture(f"{name}{depth}", build, (3, 32, 32), source)


_RESNET = "He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385"
_PREACT = "He et al., Identity Mappings in Deep Residual Networks, arXiv:1603.05027"

ARCHITECTURES = (
    *(
        Architecture(
            f"resnet{depth}",
            partial(ResNet, block=block, repeats=repeats),
            (3, 224, 224),
            f"{_RESNET}, table 1",
            keys=KEYS,
        )
        for depth, block, _, repeats in IMAGENET
    ),
    *(
        Architecture(
            f"preact_resnet{depth}",
            partial(ResNet, block=block, repeats=repeats),
            (3, 224, 224),
            f"{_PREACT}, figure 1b",
        )
        for depth, _, block, repeats in IMAGENET
    ),
    *(_for_cifar("resnet", depth, BasicBlock, "pad", f"{_RESNET}, section 4.2") for depth in (20, 32, 44, 56, 110)),
    *(
        _for_cifar("preact_resnet", depth, PreActBasicBlock, "pad", f"{_PREACT}, figure 1b")
        for depth in (20, 32, 44, 56, 110)
    ),
    *(_for_cifar("plain", depth, BasicBlock, None, f"{_RESNET}, figure 6 left") for depth in (20, 56)),
)
