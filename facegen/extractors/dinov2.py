"""DINOv2's features. Their Fréchet distance is FD_DINOv2.

Stein et al., "Exposing flaws of generative model evaluation metrics and their unfair treatment of diffusion models"
(arXiv:2306.04675) found that it agrees better than FID with people's judgement of realism. Images are processed as by
the default settings of their code (https://github.com/layer6ai-labs/dgm-eval, ``dgm_eval/models/dinov2.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facegen.cnn.dinov2 import VisionTransformer, vit_large
from facegen.device import memory_format
from facegen.extractors.fitting import load_weights

SIZE = 224
DIMS = 1024

#: ImageNet's mean and standard deviation of each channel, for values from 0 to 1.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoV2Features(nn.Module):
    """Computes from uint8 images the 1,024 features of ViT-L/14's class token after the last norm.

    Args:
        state_dict: The content of ``dinov2_vitl14_pretrain.pth``, of any floating-point type.
        dims: 1,024.
        build: Builds the network of the state dict. Tests pass a small one.

    Raises:
        ValueError: Other dims, or the state dict of another network. The message says what is missing or unknown.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        state_dict: Mapping[str, Tensor],
        dims: int = DIMS,
        build: Callable[[], VisionTransformer] = vit_large,
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # shapes only
            self.network = build()
        if dims != self.network.cls_token.shape[-1]:
            raise ValueError(f"this network has {self.network.cls_token.shape[-1]} dims, not {dims}")
        load_weights(self.network, {name: (name, value) for name, value in state_dict.items()})
        self.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).reshape(3, 1, 1), persistent=False)

    def resize(self, images: Tensor) -> Tensor:
        """Resize uint8 [n, 3, H, W] to float32 [n, 3, 224, 224] by Pillow's bicubic, then normalise."""
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        resized = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for image in pixels]
        values = torch.from_numpy(np.stack([np.asarray(image) for image in resized])).to(images.device)
        return (values.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std

    def forward(self, resized: Tensor) -> Tensor:
        """Compute features, float32 [n, 1024], of the output of ``resize``."""
        features: Tensor = self.network(resized.contiguous(memory_format=memory_format(resized.device)))
        return features
