"""The Inception network of FID: pytorch-fid's blocks and resize, made quick without changing what it computes.

Its weights are TensorFlow's 2015-12-05 Inception-v3, ported by pytorch-fid (https://github.com/mseitzer/pytorch-fid),
whose patched blocks are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
import torchvision
from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
from torch import Tensor, nn

from facegen.cnn.fuse import fuse

SIZE = 299

#: The cuts pytorch-fid makes, and the network's children up to each; "pool" is the 3×3 max pooling at stride 2.
STAGES: dict[int, tuple[str, ...]] = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "pool"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "pool"),
    768: (
        *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a"),
        *("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    ),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
DIMS = tuple(STAGES)


class InceptionFeatures(nn.Module):
    """From uint8 images to Inception's features at one of pytorch-fid's four cuts, averaged over positions.

    BatchNorm is folded into the convolutions in float64, and the layout is channels_last: features differ from
    pytorch-fid's by rounding only (about 3e-7 relative).

    Args:
        state_dict: pytorch-fid's, of any floating-point type. ``fc.*`` and ``num_batches_tracked`` are not used.
        dims: 64, 192, 768 or 2048.

    Raises:
        ValueError: other dims, or a state dict of another network; the message tells what is missing or unknown.
    """

    def __init__(self, state_dict: Mapping[str, Tensor], dims: int = 2048) -> None:
        super().__init__()
        if dims not in STAGES:
            raise ValueError(f"Inception has no cut at {dims} dims: {', '.join(map(str, DIMS))}")
        network = _load(state_dict)
        layers: list[nn.Module] = []
        for cut, names in STAGES.items():
            layers += [nn.MaxPool2d(3, stride=2) if name == "pool" else getattr(network, name) for name in names]
            if cut == dims:
                break
        self.layers = fuse(nn.Sequential(*layers).eval()).to(memory_format=torch.channels_last)
        self.requires_grad_(False)

    def resize(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] → float32 [n, 3, 299, 299] in [−1, 1]: bilinear, half-pixel, no antialias."""
        return 2 * F.interpolate(images.float() / 255, (SIZE, SIZE), mode="bilinear", align_corners=False) - 1

    def forward(self, resized: Tensor) -> Tensor:
        """What ``resize`` made → float32 [n, dims]."""
        return self.layers(resized.contiguous(memory_format=torch.channels_last)).mean((2, 3))


def build_network() -> nn.Module:
    """pytorch-fid's network in eval mode, on the ``meta`` device: it has shapes but no values yet."""
    with torch.device("meta"):
        network = torchvision.models.inception_v3(
            num_classes=1008, aux_logits=False, weights=None, init_weights=False, transform_input=False
        )
        network.Mixed_5b = FIDInceptionA(192, pool_features=32)
        network.Mixed_5c = FIDInceptionA(256, pool_features=64)
        network.Mixed_5d = FIDInceptionA(288, pool_features=64)
        network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
        network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
        network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
        network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
        network.Mixed_7b = FIDInceptionE_1(1280)
        network.Mixed_7c = FIDInceptionE_2(2048)
        # The classifier's 1,008 classes are not asked for.
        network.fc = nn.Identity()
    return network.eval()


def _load(state_dict: Mapping[str, Tensor]) -> nn.Module:
    network = build_network()
    wanted = {key: value.shape for key, value in network.state_dict().items() if not _unused(key)}
    given = {key: value for key, value in state_dict.items() if not _unused(key)}
    if missing := sorted(wanted.keys() - given.keys()):
        raise ValueError(f"{len(missing)} of its {len(wanted)} tensors are missing, the first is {missing[0]!r}")
    if unknown := sorted(given.keys() - wanted.keys()):
        raise ValueError(f"it has {len(unknown)} tensors of another network, the first is {unknown[0]!r}")
    for key, shape in wanted.items():
        if given[key].shape != shape:
            raise ValueError(f"{key!r} is {list(given[key].shape)} and should be {list(shape)}")
        if not given[key].isfinite().all():
            raise ValueError(f"{key!r} holds NaN or infinity")
    # The counters stay on "meta"; folding BatchNorm drops them.
    network.load_state_dict({key: value.float() for key, value in given.items()}, strict=False, assign=True)
    return network


def _unused(key: str) -> bool:
    return key.startswith("fc.") or key.endswith("num_batches_tracked")
