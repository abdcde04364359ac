"""Inception-v3, both as in torchvision and as FID uses it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from .architecture import CENTRED, Architecture
from .blocks.inception import (
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionModule,
)
from .classifier import SMALL, scaled
from .googlenet import AuxiliaryClassifier, batch_norm
from .initialisers import init_truncated_normal_
from .layers import ConvNormAct, Norm
from .pooling import GlobalPool

#: The module of each stage after the stem, and its arguments: channels, in the module's order.
MIXED: tuple[tuple[str, Callable[..., InceptionModule], tuple[int, ...]], ...] = (
    ("mixed5b", InceptionA, (64, 48, 64, 64, 96, 32)),
    ("mixed5c", InceptionA, (64, 48, 64, 64, 96, 64)),
    ("mixed5d", InceptionA, (64, 48, 64, 64, 96, 64)),
    ("mixed6a", InceptionB, (384, 64, 96)),
    ("mixed6b", InceptionC, (192, 128)),
    ("mixed6c", InceptionC, (192, 160)),
    ("mixed6d", InceptionC, (192, 160)),
    ("mixed6e", InceptionC, (192, 192)),
    ("mixed7a", InceptionD, (320, 192)),
    ("mixed7b", InceptionE, (320, 384, 448, 192)),
    ("mixed7c", InceptionE, (320, 384, 448, 192)),
)
STEM = 32
AUXILIARY = "mixed6e"


class InceptionV3(AuxiliaryClassifier):
    """Inception-v3. Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567, table 1 and section 6.

    Large filters are factorised into small and one-dimensional ones. Strided convolutions run parallel to a pooling,
    so that no layer is a bottleneck. This is the network that the authors released, as in torchvision. Its weights
    were trained on images in [−1, 1]. Table 1 counts the layers differently.

    ========= ================================= ========= ==========
    layer     block                             output    parameters
    ========= ================================= ========= ==========
    conv1a    3×3, stride 2                     32 × 149² 928
    conv2a    3×3, no padding                   32 × 147² 9,280
    conv2b    3×3; then max pooling             64 × 147² 18,560
    conv3b    1×1                               80 × 73²  5,280
    conv4a    3×3, no padding; then max pooling 192 × 71² 138,624
    mixed5b   A                                 256 × 35² 255,904
    mixed5c   A                                 288 × 35² 277,472
    mixed5d   A                                 288 × 35² 285,152
    mixed6a   B, stride 2                       768 × 17² 1,153,280
    mixed6b   C                                 768 × 17² 1,297,408
    mixed6c   C                                 768 × 17² 1,691,008
    mixed6d   C                                 768 × 17² 1,691,008
    mixed6e   C                                 768 × 17² 2,141,952
    mixed7a   D, stride 2                       1280 × 8² 1,698,304
    mixed7b   E                                 2048 × 8² 5,044,608
    mixed7c   E                                 2048 × 8² 6,076,800
    linear    global average, dropout           1000      2,049,000
    total                                                 23,834,568
    auxiliary one head on mixed6e               1000      3,326,696
    ========= ================================= ========= ==========

    The auxiliary head is attached to mixed6e. In training, the authors' code adds 0.4 of its loss to the loss.

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after the first convolution.
        size: Side of the images, in pixels. Up to 96 pixels, the stem has padding, but neither a stride nor its first
            pooling.
        norm: The norm, see :func:`.make_norm`; the published weights want BatchNorm with an epsilon of 1e-3.
        dropout: Dropout probability before the classifier.
        auxiliary: Build the head, for :meth:`forward_with_auxiliary`.
        fid: Pool in the modules as TensorFlow's network of 2015-12-05, whose features define FID.
    """

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: int = STEM,
        size: int = 299,
        norm: Norm = batch_norm,
        dropout: float = 0.5,
        auxiliary: bool = False,
        fid: bool = False,
    ) -> None:
        super().__init__()
        small = size <= SMALL
        padding = 1 if small else 0
        double, reduced, stem = (scaled(count, width, STEM) for count in (64, 80, 192))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1a"] = ConvNormAct(in_channels, width, 3, stride=1 if small else 2, padding=padding, norm=norm)
        layers["conv2a"] = ConvNormAct(width, width, 3, padding=padding, norm=norm)
        layers["conv2b"] = ConvNormAct(width, double, 3, norm=norm)
        if not small:
            layers["pool1"] = nn.MaxPool2d(3, stride=2)
        layers["conv3b"] = ConvNormAct(double, reduced, 1, norm=norm)
        layers["conv4a"] = ConvNormAct(reduced, stem, 3, padding=padding, norm=norm)
        layers["pool2"] = nn.MaxPool2d(3, stride=2, padding=padding)
        channels = stem
        self.auxiliary = nn.ModuleDict()
        for name, module, table in MIXED:
            layers[name] = mixed = module(channels, *(scaled(count, width, STEM) for count in table), norm=norm)
            channels = mixed.out_channels
            if auxiliary and name == AUXILIARY:
                self.auxiliary[name] = _auxiliary_head(channels, classes, width, norm, padding=2 if small else 0)
        self.features = nn.Sequential(layers)
        self.pool = GlobalPool()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        init_truncated_normal_(self, 0.1)
        for head in self.auxiliary.values():
            init_truncated_normal_(head.get_submodule("conv1"), 0.01)
            init_truncated_normal_(head.get_submodule("fc"), 0.001)
        if fid:
            _pool_as_fid(self.features)


def _auxiliary_head(in_channels: int, classes: int, width: int, norm: Norm, padding: int) -> nn.Sequential:
    """Build the auxiliary head: 5×5 averages, then 1×1 and 5×5 convolutions. arXiv:1512.00567, figure 8.

    ``padding`` belongs to the 5×5 convolution, which needs maps of 17×17 without it.
    """
    reduced, wide = scaled(128, width, STEM), scaled(768, width, STEM)
    return nn.Sequential(
        OrderedDict(
            average=nn.AvgPool2d(5, stride=3),
            conv0=ConvNormAct(in_channels, reduced, 1, norm=norm),
            conv1=ConvNormAct(reduced, wide, 5, padding=padding, norm=norm),
            pool=GlobalPool(),
            fc=nn.Linear(wide, classes),
        )
    )


def _pool_as_fid(features: nn.Module) -> None:
    """Pool as in TensorFlow.

    Averages ignore the padding. The last module uses max pooling, an error that is part of FID.
    """
    for layer in features.modules():
        if isinstance(layer, nn.AvgPool2d):
            layer.count_include_pad = False
    branch = features.get_submodule("mixed7c.branches.3")
    assert isinstance(branch, nn.Sequential)
    branch[0] = nn.MaxPool2d(3, stride=1, padding=1)


#: torchvision's names of the branches of a module, in order, for each group of stages.
BRANCHES = {
    "5[b-d]": ("1x1", "5x5", "3x3dbl", "_pool"),
    "6a": ("3x3", "3x3dbl"),
    "6[b-e]": ("1x1", "7x7", "7x7dbl", "_pool"),
    "7a": ("3x3", "7x7x3"),
    "7[bc]": ("1x1", "3x3", "3x3dbl", "_pool"),
}


def _key_rules() -> Iterator[tuple[str, str]]:
    """Return rules for torchvision, which pytorch-fid shares.

    ``Mixed_5b.branch3x3dbl_2`` is the second convolution of a branch. ``_2a`` and ``_2b`` are the two ends of a fork.
    Branches of one convolution have no number.
    """
    yield r"^Conv2d_(\d.)_\dx\d\.", r"features.conv\1."
    for stages, branches in BRANCHES.items():
        for index, branch in enumerate(branches):
            torchvisions, ours = rf"^Mixed_({stages})\.branch{branch}", rf"features.mixed\1.branches.{index}"
            yield rf"{torchvisions}\.", rf"{ours}.{1 if branch == '_pool' else 0}."
            yield rf"{torchvisions}_", rf"{ours}._"
    for number in range(1, 6):
        yield rf"\._{number}(?=[.ab])", f".{number - 1}"
    for index, prong in enumerate("ab"):
        yield rf"(\.\d){prong}\.", rf"\1.branches.{index}."
    yield r"\.bn\.", ".norm."
    yield r"^AuxLogits\.", f"auxiliary.{AUXILIARY}."
    yield r"^fc\.", "classifier.1."


KEYS = tuple(_key_rules())

ARCHITECTURES = (
    Architecture(
        "inception_v3",
        InceptionV3,
        (3, 299, 299),
        "Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567, table 1",
        keys=KEYS,
        pixels=CENTRED,
    ),
    Architecture(
        "inception_v3_fid",
        partial(InceptionV3, classes=1008, fid=True),
        (3, 299, 299),
        "Szegedy et al., arXiv:1512.00567, in TensorFlow's network of 2015-12-05; Heusel et al., arXiv:1706.08500",
        keys=KEYS,
        pixels=CENTRED,
    ),
)
