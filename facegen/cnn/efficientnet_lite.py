"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6.

Tan and Le, arXiv:1905.11946, table 1; the Lite variants are described at
https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import Architecture, Pixels
from .blocks.inverted_residual import InvertedResidual
from .classifier import SMALL, Classifier, scaled
from .layers import ConvNormAct, Norm
from .pooling import GlobalPool

#: (repeats, kernel, stride of the first repeat, expansion, output channels): arXiv:1905.11946, table 1, stages 2-8.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280

#: TensorFlow's default epsilon, which the published weights were trained with (torch's is 1e-5).
_batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class StridedConv(ConvNormAct):
    """A stride-2 convolution with the padding of TensorFlow's ``"SAME"``, a norm and ReLU6.

    The output size is ⌈size/2⌉. An odd pixel of padding goes to the right and the bottom. For even sizes this is a
    shift against symmetric padding, so weights that were trained with one lose accuracy with the other. [B, C, H, W]
    → [B, K, ⌈H/2⌉, ⌈W/2⌉].
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, groups: int = 1, norm: Norm = _batch_norm
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=2,
            padding=0,
            groups=groups,
            norm=norm,
            activation="relu6",
        )
        self.kernel_size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        height, width = (max(2 * math.ceil(size / 2) - 2 + self.kernel_size - size, 0) for size in x.shape[-2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


class EfficientNetLite0(Classifier):
    """EfficientNet-Lite0: inverted residuals without the parts that quantise badly.

    Tan and Le, arXiv:1905.11946, table 1. The published weights were trained on ImageNet at 224×224, RGB pixels
    scaled to ``(x − 127)/128``.

    ======== ========================================= ============ ==========
    stage    block, repeats                            output       parameters
    ======== ========================================= ============ ==========
    stem     3×3, stride 2                             32 × 112²    928
    stage1   inverted residual 3×3, ×1, no expansion   16 × 112²    896
    stage2   inverted residual 3×3, ×2                 24 × 56²     14,640
    stage3   inverted residual 5×5, ×2                 40 × 28²     42,104
    stage4   inverted residual 3×3, ×3                 80 × 14²     215,040
    stage5   inverted residual 5×5, ×3                 112 × 14²    458,032
    stage6   inverted residual 5×5, ×4                 192 × 7²     1,487,232
    stage7   inverted residual 3×3, ×1                 320 × 7²     740,000
    head     1×1                                       1280 × 7²    412,160
    linear   global average, dropout                   1000         1,281,000
    total                                                           4,652,008
    ======== ========================================= ============ ==========

    Args:
        classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels after the stem.
        size: Side of the images, in pixels. Up to 96 pixels, the stem and the first strided stage keep their size.
        norm: The norm, see :func:`.make_norm`; the published weights need BatchNorm with an epsilon of 1e-3.
        dropout: Dropout probability before the classifier.
    """

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: int = STEM,
        size: int = 224,
        norm: Norm = _batch_norm,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        if size > SMALL:
            self.features.add_module("stem", StridedConv(in_channels, width, 3, norm=norm))
        else:
            self.features.add_module("stem", ConvNormAct(in_channels, width, 3, norm=norm, activation="relu6"))
        channels, small_strides = width, 0 if size > SMALL else 1
        for index, (repeats, kernel_size, stride, expansion, out_channels) in enumerate(STAGES, 1):
            if stride == 2 and small_strides:
                stride, small_strides = 1, small_strides - 1
            wide = scaled(out_channels, width, STEM)
            stage = nn.Sequential(*_blocks(channels, wide, kernel_size, stride, expansion, repeats, norm))
            self.features.add_module(f"stage{index}", stage)
            channels = wide
        embedding = scaled(FEATURES, width, STEM)
        self.features.add_module("head", ConvNormAct(channels, embedding, 1, norm=norm, activation="relu6"))
        self.pool = GlobalPool()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding, classes))


def _blocks(
    channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int, repeats: int, norm: Norm
) -> Iterator[InvertedResidual]:
    for repeat in range(repeats):
        step = stride if repeat == 0 else 1
        block = InvertedResidual(channels, out_channels, kernel_size, stride=step, expansion=expansion, norm=norm)
        if step == 2:
            wide = channels * expansion
            block.depthwise = StridedConv(wide, wide, kernel_size, groups=wide, norm=norm)
        yield block
        channels = out_channels


def _key_rules() -> Iterator[tuple[str, str]]:
    """Return rules for ``efficientnet_lite_pytorch``, which numbers all blocks, and the norms within a block."""
    yield r"^_conv_stem\.", "features.stem.conv."
    yield r"^_bn0\.", "features.stem.norm."
    yield r"^_conv_head\.", "features.head.conv."
    yield r"^_bn1\.", "features.head.norm."
    yield r"^_fc\.", "classifier.1."
    blocks = ((stage, repeat) for stage, (repeats, *_) in enumerate(STAGES, 1) for repeat in range(repeats))
    for index, (stage, repeat) in enumerate(blocks):
        yield rf"^_blocks\.{index}\.", f"features.stage{stage}.{repeat}."
    for layer, norm in (("expand", 0), ("depthwise", 1), ("project", 2)):
        yield rf"\._{layer}_conv\.", f".{layer}.conv."
        yield rf"\._bn{norm}\.", f".{layer}.norm."


ARCHITECTURES = (
    Architecture(
        "efficientnet_lite0",
        EfficientNetLite0,
        (3, 224, 224),
        "Tan and Le, EfficientNet, arXiv:1905.11946, table 1, in TensorFlow's Lite variant",
        keys=tuple(_key_rules()),
        pixels=Pixels((127 / 255,) * 3, (128 / 255,) * 3),
    ),
)
