"""C3D: convolutions over time and space alike. Tran et al., arXiv:1412.0767."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from .architecture import Architecture
from .blocks.fully_connected import FullyConnected
from .classifier import Classifier, scaled
from .initialisers import init_he_
from .layers import ConvNormAct, Norm

#: Channels of each stage's convolutions: figure 3.
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
HIDDEN = 4096


class C3D(Classifier):
    """Video classifier. Tran, Bourdev, Fergus, Torresani and Paluri, arXiv:1412.0767, figure 3.

    VGG in three dimensions: 3×3×3 convolutions and max pooling of 2×2×2. The first pooling keeps all frames, so that
    they are not merged too early.

    ======= =============== ==========
    stage   output          parameters
    ======= =============== ==========
    stage1  64 × 16 × 56²   5,248
    stage2  128 × 8 × 28²   221,312
    stage3  256 × 4 × 14²   2,654,720
    stage4  512 × 2 × 7²    10,617,856
    stage5  512 × 1 × 4²    14,156,800
    fc6     4096            33,558,528
    fc7     4096            16,781,312
    fc8     487             1,995,239
    total                   79,991,015
    ======= =============== ==========

    Args:
        classes: Number of logits, 487 for Sports-1M.
        in_channels: Of the frames.
        width: Channels of the first stage; fc6 and fc7 scale with it too.
        size: Side of the frames, in pixels. The input of fc6 is the whole last map: 4×4 for 112 pixels and 2×2 for 32.
        frames: Frames of a clip. With fewer than 16, the last poolings, which get a single frame, pool over space only.
        norm: The norm, see :func:`.make_norm`; None is the paper's.
        dropout: Dropout probability after fc6 and fc7.
    """

    def __init__(
        self,
        *,
        classes: int = 487,
        in_channels: int = 3,
        width: int = STAGES[0][0],
        size: int = 112,
        frames: int = 16,
        norm: Norm = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        base = STAGES[0][0]
        self.features = nn.Sequential()
        for stage, convolutions in enumerate(STAGES, 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            for index, published in enumerate(convolutions, 1):
                channels = scaled(published, width, base)
                layers[f"conv{index}"] = ConvNormAct(in_channels, channels, 3, norm=norm, dims=3)
                in_channels = channels
            merged = 2 if stage > 1 and frames > 1 else 1
            frames //= merged
            # The authors' code pads the last pooling, which turns 7×7 into 4×4.
            padding = (0, 1, 1) if stage == len(STAGES) else 0
            layers["pool"] = nn.MaxPool3d((merged, 2, 2), padding=padding)
            self.features.add_module(f"stage{stage}", nn.Sequential(layers))
        positions = size // 32 + 1
        self.pool = nn.Sequential(nn.AdaptiveAvgPool3d((1, positions, positions)), nn.Flatten())
        self.classifier = FullyConnected(channels * positions**2, scaled(HIDDEN, width, base), classes, dropout=dropout)
        init_he_(self)


ARCHITECTURES = (
    Architecture(
        "c3d",
        C3D,
        (3, 16, 112, 112),
        "Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, arXiv:1412.0767, figure 3",
    ),
)
