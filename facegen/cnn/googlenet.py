"""GoogLeNet (Inception v1), both as published and as in torchvision."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from .architecture import CENTRED, Architecture
from .blocks.inception import Inception, InceptionModule, NaiveInception
from .classifier import SMALL, Classifier, scaled
from .initialisers import init_truncated_normal_, init_xavier_
from .layers import ConvNormAct, Norm
from .pooling import GlobalPool

#: arXiv:1409.4842, table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj; no entry for a pooling.
STAGES = (
    ("inception3a", (64, 96, 128, 16, 32, 32)),
    ("inception3b", (128, 128, 192, 32, 96, 64)),
    ("pool3", ()),
    ("inception4a", (192, 96, 208, 16, 48, 64)),
    ("inception4b", (160, 112, 224, 24, 64, 64)),
    ("inception4c", (128, 128, 256, 24, 64, 64)),
    ("inception4d", (112, 144, 288, 32, 64, 64)),
    ("inception4e", (256, 160, 320, 32, 128, 128)),
    ("pool4", ()),
    ("inception5a", (256, 160, 320, 32, 128, 128)),
    ("inception5b", (384, 192, 384, 48, 128, 128)),
)
STEM = 64
AUXILIARY = ("inception4a", "inception4d")

#: TensorFlow's epsilon, which torchvision's weights were trained with (torch's is 1e-5).
batch_norm = partial(nn.BatchNorm2d, eps=1e-3)


class AuxiliaryClassifier(Classifier):
    """A classifier with auxiliary heads on stages of ``features``, so that gradients reach early layers in training.

    ``auxiliary`` holds each head under the name of its stage. It is empty if the network was built without heads.
    """

    features: nn.Sequential
    auxiliary: nn.ModuleDict

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the logits, then those of each auxiliary head in order. ValueError if the network has none."""
        if not self.auxiliary:
            raise ValueError("this network has no auxiliary heads: build it with auxiliary=True")
        auxiliary = []
        for name, stage in self.features.named_children():
            x = stage(x)
            if name in self.auxiliary:
                auxiliary.append(self.auxiliary[name](x))
        return self.classifier(self.pool(x)), *auxiliary


class GoogLeNet(AuxiliaryClassifier):
    """GoogLeNet. Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, table 1 and figure 3.

    Each module has parallel branches of 1×1, 3×3 and 5×5 filters, each behind a 1×1 bottleneck. An average over all
    positions replaces large linear layers. The defaults give torchvision's network, with BatchNorm and with 3×3
    instead of 5×5. Its weights were trained on images in [−1, 1]. ``as_published=True, norm=None`` gives the paper's
    network.

    =============== ============= =========== ==========
    layer           output        torchvision published
    =============== ============= =========== ==========
    conv1           64 × 112²     9,536       9,472
    conv2           64 × 56²      4,224       4,160
    conv3           192 × 56²     110,976     110,784
    inception3a     256 × 28²     155,872     163,696
    inception3b     480 × 28²     340,224     388,736
    inception4a     512 × 14²     364,512     376,176
    inception4b     512 × 14²     425,232     449,160
    inception4c     512 × 14²     486,192     510,104
    inception4d     528 × 14²     573,312     605,376
    inception4e     832 × 14²     803,840     868,352
    inception5a     832 × 7²      978,944     1,043,456
    inception5b     1024 × 7²     1,347,040   1,444,080
    linear          1000          1,025,000   1,025,000
    total                         6,624,904   6,998,552
    with two heads                13,004,888  13,378,280
    =============== ============= =========== ==========

    The two auxiliary heads are attached to 4a and 4d. In training, the paper adds 0.3 of the loss of each head to the
    loss. The heads are dropped afterwards.

    ``naive=True`` shows why bottlenecks are needed: the same filters without them, figure 2a. The pooling of each
    module keeps all channels of its input, so the last module has 4,944 channels and the network has 97,526,008
    parameters.

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after the first convolution.
        size: Side of the images, in pixels. Up to 96 pixels, the first convolution is 3×3 at stride 1 and no pooling
            follows it.
        norm: The norm, see :func:`.make_norm`; the published weights want BatchNorm with an epsilon of 1e-3.
        dropout: Dropout probability before the classifier; it is 0.7 in the auxiliary heads.
        auxiliary: Build the two heads, for :meth:`forward_with_auxiliary`.
        as_published: Use 5×5 filters and local response norms, which torchvision replaced by 3×3 filters and BatchNorm.
        naive: Use modules without bottlenecks, and 5×5 filters.
    """

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: int = STEM,
        size: int = 224,
        norm: Norm = batch_norm,
        dropout: float = 0.2,
        auxiliary: bool = False,
        as_published: bool = False,
        naive: bool = False,
    ) -> None:
        super().__init__()
        stem = scaled(192, width, STEM)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if size > SMALL:
            layers["conv1"] = ConvNormAct(in_channels, width, 7, stride=2, norm=norm)
            layers["pool1"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        else:
            layers["conv1"] = ConvNormAct(in_channels, width, 3, norm=norm)
        if as_published:
            layers["norm1"] = nn.LocalResponseNorm(5)
        layers["conv2"] = ConvNormAct(width, width, 1, norm=norm)
        layers["conv3"] = ConvNormAct(width, stem, 3, norm=norm)
        if as_published:
            layers["norm2"] = nn.LocalResponseNorm(5)
        layers["pool2"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels = stem
        self.auxiliary = nn.ModuleDict()
        for name, table in STAGES:
            if table:
                widths = [scaled(count, width, STEM) for count in table]
                module: InceptionModule
                if naive:
                    ones, _, threes, _, fives, _ = widths
                    module = NaiveInception(channels, ones, threes, fives, norm=norm)
                else:
                    module = Inception(channels, *widths, large=5 if as_published else 3, norm=norm)
                layers[name] = module
                channels = module.out_channels
            else:
                # torchvision's last pooling has 2×2 windows.
                window = 2 if name == "pool4" and not as_published else 3
                layers[name] = nn.MaxPool2d(window, stride=2, ceil_mode=True)
            if auxiliary and name in AUXILIARY:
                self.auxiliary[name] = _auxiliary_head(channels, classes, width, norm)
        self.features = nn.Sequential(layers)
        self.pool = GlobalPool()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        if norm is None:
            # As in Caffe's version. Without a norm to rescale them, weights of 0.01 would make the signal vanish.
            init_xavier_(self)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    nn.init.constant_(layer.bias, 0.2)
        else:
            init_truncated_normal_(self, 0.01)


def _auxiliary_head(in_channels: int, classes: int, width: int, norm: Norm) -> nn.Sequential:
    """Build an auxiliary head: 4×4 averages, a 1×1 convolution, two linear layers. arXiv:1409.4842, section 5.

    The paper averages 5×5 windows at stride 3, which gives 4×4 for a 14×14 map only. These averages give 4×4 for any
    map.
    """
    channels, hidden = scaled(128, width, STEM), scaled(1024, width, STEM)
    return nn.Sequential(
        OrderedDict(
            pool=nn.AdaptiveAvgPool2d(4),
            conv=ConvNormAct(in_channels, channels, 1, norm=norm),
            flatten=nn.Flatten(),
            fc1=nn.Linear(channels * 4 * 4, hidden),
            act=nn.ReLU(inplace=True),
            dropout=nn.Dropout(0.7),
            fc2=nn.Linear(hidden, classes),
        )
    )


#: Rules for torchvision, whose branches are called branch1 (one convolution), branch2, … (a sequence each).
KEYS = (
    (r"^(conv\d|inception\d.)\.", r"features.\1."),
    (r"\.branch1\.", ".branches.0.0."),
    *((rf"\.branch{number}\.", f".branches.{number - 1}.") for number in (2, 3, 4)),
    (r"\.bn\.", ".norm."),
    *((rf"^aux{number}\.", f"auxiliary.{stage}.") for number, stage in enumerate(AUXILIARY, 1)),
    (r"^fc\.", "classifier.1."),
)

ARCHITECTURES = (
    Architecture(
        "googlenet",
        GoogLeNet,
        (3, 224, 224),
        "Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, table 1, with torchvision's BatchNorm",
        keys=KEYS,
        pixels=CENTRED,
    ),
    Architecture(
        "googlenet_paper",
        partial(GoogLeNet, norm=None, dropout=0.4, as_published=True),
        (3, 224, 224),
        "Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, table 1",
    ),
    Architecture(
        "googlenet_naive",
        partial(GoogLeNet, norm=None, dropout=0.4, as_published=True, naive=True),
        (3, 224, 224),
        "Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, table 1 with the modules of figure 2a",
    ),
)
