"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6.

Tan and Le, arXiv:1905.11946, table 1; the Lite variants are described at
https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.blocks import InvertedResidual
from facegen.cnn.layers import ConvNormAct

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

#: TensorFlow's default, with which the published weights were trained (torch's is 1e-5).
_batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class StridedConv(ConvNormAct):
    """A stride-2 convolution padded as TensorFlow's ``"SAME"``, its norm and ReLU6.

    The output is ⌈size/2⌉, and an odd pixel of padding goes right and below. On an even size that differs from
    symmetric padding by a shift, so weights trained with the one lose accuracy under the other.
    [B, C, H, W] → [B, K, ⌈H/2⌉, ⌈W/2⌉].
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, groups: int = 1) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=2,
            padding=0,
            groups=groups,
            norm=_batch_norm,
            activation="relu6",
        )
        self.kernel_size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        height, width = (max(2 * math.ceil(size / 2) - 2 + self.kernel_size - size, 0) for size in x.shape[-2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


class EfficientNetLite0(nn.Module):
    """ImageNet classifier with 4.65 M parameters. [B, 3, H, W] → logits [B, classes].

    It was trained on 224×224 RGB pixels scaled to ``(x − 127)/128``.
    """

    def __init__(self, classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = StridedConv(3, STEM, 3)
        self.blocks = nn.Sequential(*_blocks())
        self.head = ConvNormAct(STAGES[-1][-1], FEATURES, 1, norm=_batch_norm, activation="relu6")
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the classifier sees: the head's activations averaged over positions, [B, 1280], each in [0, 6]."""
        return self.head(self.blocks(self.stem(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.features(x)))


def _blocks() -> Iterator[InvertedResidual]:
    channels = STEM
    for repeats, kernel_size, stride, expansion, out_channels in STAGES:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            block = InvertedResidual(
                channels, out_channels, kernel_size, stride=step, expansion=expansion, norm=_batch_norm
            )
            if step == 2:
                width = channels * expansion
                block.depthwise = StridedConv(width, width, kernel_size, groups=width)
            yield block
            channels = out_channels


def from_efficientnet_lite_pytorch(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an ``efficientnet_lite_pytorch`` state dict to those of :class:`EfficientNetLite0`.

    Its stem is ``_conv_stem``/``_bn0`` and its head ``_conv_head``/``_bn1``; block *i* has ``_expand_conv``/``_bn0``
    (but for the first block), ``_depthwise_conv``/``_bn1`` and ``_project_conv``/``_bn2``; the classifier is ``_fc``.
    Shapes agree as they are. Names it does not know are kept, so that ``load_state_dict`` reports them.
    """
    layers = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
    layers["_fc"] = "classifier"
    for index in range(sum(stage[0] for stage in STAGES)):
        theirs, ours = f"_blocks.{index}", f"blocks.{index}"
        layers |= {
            f"{theirs}._expand_conv": f"{ours}.expand.conv",
            f"{theirs}._bn0": f"{ours}.expand.norm",
            f"{theirs}._depthwise_conv": f"{ours}.depthwise.conv",
            f"{theirs}._bn1": f"{ours}.depthwise.norm",
            f"{theirs}._project_conv": f"{ours}.project.conv",
            f"{theirs}._bn2": f"{ours}.project.norm",
        }
    renamed = {}
    for key, tensor in state_dict.items():
        layer, _, parameter = key.rpartition(".")
        renamed[f"{layers.get(layer, layer)}.{parameter}"] = tensor
    return renamed
