"""The Inception network of FID: pytorch-fid's features and resize, computed faster.

The weights are those of TensorFlow's 2015-12-05 Inception-v3, ported by pytorch-fid
(https://github.com/mseitzer/pytorch-fid).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.fuse import fuse
from facegen.cnn.inception import ARCHITECTURES, InceptionV3
from facegen.cnn.layers import ConvNormAct
from facegen.device import memory_format
from facegen.extractors.fitting import load_weights

SIZE = 299

#: pytorch-fid's four cuts, and the last stage of each.
CUTS = {64: "pool1", 192: "pool2", 768: "mixed6e", 2048: "mixed7c"}
DIMS = tuple(CUTS)


class InceptionFeatures(nn.Module):
    """Computes from uint8 images Inception's features at one of pytorch-fid's four cuts, averaged over positions.

    BatchNorm is folded into the convolutions in float64, and the memory format is that of the device
    (:func:`facegen.device.memory_format`). Features therefore differ from pytorch-fid's by rounding, about 3e-7
    relative.

    Args:
        state_dict: pytorch-fid's state dict, of any floating-point type. ``fc.*`` and ``num_batches_tracked`` are not
            used.
        dims: 64, 192, 768 or 2048.
        empty: A dict that is emptied once the network has its tensors, so that they are not in memory twice.

    Raises:
        ValueError: Other dims, or the state dict of another network. The message says what is missing or unknown.
    """

    def __init__(
        self, state_dict: Mapping[str, Tensor], dims: int = 2048, *, empty: dict[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        if dims not in CUTS:
            raise ValueError(f"Inception has no cut at {dims} dims: {', '.join(map(str, DIMS))}")
        stages = _load(state_dict).features
        if empty is not None:
            empty.clear()
        names = [name for name, _ in stages.named_children()]
        layers = stages[: names.index(CUTS[dims]) + 1].eval()
        del stages  # frees the layers behind the cut
        # Fold one layer at a time: two copies of all weights are 90 MB more.
        for name in [name for name, part in layers.named_modules() if isinstance(part, ConvNormAct)]:
            fused = fuse(layers.get_submodule(name))
            layers.set_submodule(name, fused.to(memory_format=torch.channels_last))
        self.layers = layers
        self.requires_grad_(False)

    def resize(self, images: Tensor) -> Tensor:
        """Resize uint8 [n, 3, H, W] to float32 [n, 3, 299, 299] in [−1, 1]: bilinear, half-pixel, no antialias."""
        return 2 * F.interpolate(images.float() / 255, (SIZE, SIZE), mode="bilinear", align_corners=False) - 1

    def forward(self, resized: Tensor) -> Tensor:
        """Compute features, float32 [n, dims], of the output of ``resize``."""
        return self.layers(resized.contiguous(memory_format=memory_format(resized.device))).mean((2, 3))


def taking_over(state_dict: dict[str, Tensor], dims: int = 2048) -> InceptionFeatures:
    """Build the network from a state dict that the caller no longer needs, and empty it."""
    return InceptionFeatures(state_dict, dims, empty=state_dict)


def _load(state_dict: Mapping[str, Tensor]) -> InceptionV3:
    # Not built by the registry: the features' code hash would then cover the code of every network.
    architecture = next(each for each in ARCHITECTURES if each.name == "inception_v3_fid")
    with torch.device("meta"):  # shapes only
        network = architecture.build()
    assert isinstance(network, InceptionV3)
    # Every tensor as (its name in the user's file, its value), under facegen's name. The classifier and the counters
    # stay on "meta": the classifier is not used, and folding BatchNorm removes the counters.
    theirs = dict(zip(architecture.convert(state_dict), state_dict.items(), strict=True))
    load_weights(network, theirs, _unused)
    return network


def _unused(key: str) -> bool:
    return key.startswith("classifier.") or key.endswith("num_batches_tracked")
