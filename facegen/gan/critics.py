"""Critics: the parts that a discriminator consists of.

A critic has an input and a head. The input is the image's pixels, or feature maps of a frozen network. It has nothing
to learn, and gradients flow through it to the image. The head turns the input into logits and is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.autocast import without_autocast
from facegen.cnn.features import FeatureTaps, RandomMixing
from facegen.cnn.frozen import freeze
from facegen.cnn.layers import ConvNormAct
from facegen.cnn.registry import find_architecture

#: The input of a critic: images [B, 3, S, S], or a tuple of feature maps [B, C, H, W].
Seen = Tensor | tuple[Tensor, ...]

#: Networks whose features a critic can use: the stages to tap, at strides 4, 8, 16 and 32 of the published layout,
#: and their channels.
TAPS: dict[str, tuple[tuple[str, int], ...]] = {
    "efficientnet_lite0": (("stage2", 24), ("stage3", 40), ("stage5", 112), ("stage7", 320)),
}
STRIDES = (4, 8, 16, 32)
#: Channels of scale i's features after mixing, before the deeper scale's are added, as in Projected GAN.
MIXED = (64, 128, 256, 512)
#: Seed of the random mixing. It is not a hyperparameter: any draw works, and every run uses the same.
MIXING_SEED = 0


def of_images(logits: Tensor) -> Tensor:
    """Reduce logits [B] or [B, L] to one logit per image [B]: the mean over L patches."""
    return logits if logits.ndim == 1 else logits.mean(1)


class Features(NamedTuple):
    """The output of a :class:`FeatureView`.

    Attributes:
        maps: A tuple of feature maps [B, C, H, W], with the shapes of :func:`feature_maps`.
        pooled: float32 [B, D]: the mean over positions of each tapped channel, before the mixing.
    """

    maps: tuple[Tensor, ...]
    pooled: Tensor


def pooled_dims(name: str) -> int:
    """Return D of :attr:`Features.pooled` for a key of ``TAPS``."""
    return sum(channels for _, channels in TAPS[name])


def feature_maps(size: int) -> list[tuple[int, int]]:
    """Return the channels and the side of each map of a :class:`FeatureView` whose images are resized to ``size``."""
    outputs = [MIXED[0], *(wide // 2 for wide in MIXED[1:])]
    return [(channels, 2 * -(-size // stride)) for channels, stride in zip(outputs, STRIDES, strict=True)]


class FeatureView(nn.Module):
    """Features of a frozen network, mixed randomly across channels and scales.

    The design is that of Projected GAN (Sauer et al., arXiv:2111.01007, section 3.2 and figure 2). Taps after strides
    4, 8, 16 and 32 are mixed to 64, 64, 128 and 256 maps of twice the tap's size. Each scale is divided by its root
    mean square over one batch of real images. Nothing here is trained, and its state holds only those four numbers.

    Args:
        name: A key of ``TAPS``.
        state_dict: The network's published weights, under facegen's names.
        size: Side that images are resized to (bilinear), in pixels.
        dtype: The dtype of the frozen network's arithmetic and of the output.
    """

    _shift: Tensor
    _scale: Tensor

    def __init__(self, name: str, state_dict: Mapping[str, Tensor], *, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        architecture = find_architecture(name)
        network = architecture.build()
        network.load_state_dict(state_dict)
        frozen = freeze(network.get_submodule("features"), dtype)
        assert isinstance(frozen, nn.Sequential)
        stages, channels = zip(*TAPS[name], strict=True)
        self.size, self.dtype = size, dtype
        self.taps = FeatureTaps(frozen, stages)
        outputs = [channels for channels, _ in feature_maps(size)]
        self.mixing = RandomMixing(channels, MIXED, outputs, seed=MIXING_SEED, dtype=dtype)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in architecture.pixels)
        # (x + 1) / 2 is in [0, 1], the range that the published normalisation expects.
        self.register_buffer("_shift", 1 - 2 * mean, persistent=False)
        self.register_buffer("_scale", 1 / (2 * std), persistent=False)

    def tapped(self, images: Tensor) -> list[Tensor]:
        """Compute the frozen network's features before the mixing, from images float [B, 3, S, S] in [−1, 1]."""
        with without_autocast(images.device):
            images = (images + self._shift) * self._scale
            if images.shape[-1] != self.size:
                images = F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)
            # NaN, or 0. The frozen activations clip NaN to a number, which would hide a generator that diverged.
            nothing = (images.detach() * 0).sum((1, 2, 3), keepdim=True).to(self.dtype)
            return [features + nothing for features in self.taps(images.to(self.dtype))]

    def forward(self, images: Tensor) -> Features:
        """Compute the features of images, float [B, 3, S, S] in [−1, 1]. The maps have the dtype ``dtype``."""
        tapped = self.tapped(images)
        with without_autocast(images.device):
            pooled = torch.cat([features.float().mean((2, 3)) for features in tapped], 1)
            return Features(tuple(self.mixing(tapped)), pooled)


class FeatureHead(nn.Module):
    """A small convolutional network for each map of a :class:`FeatureView`. It computes logits of patches.

    4×4 convolutions with stride 2 halve a map until it is 8×8 or smaller. A 3×3 convolution follows each of them, and
    all have LeakyReLU(0.2). A map that is small already gets the 3×3 convolution only. A last 4×4 convolution
    computes the logits. A deep map sees the whole face and has fewer patches than a shallow one. Its logits are
    repeated until every map has the same number, so that all maps have equal weight.

    Without norms the logits of an image do not depend on the other images of the batch, so R1 and R2 are defined.
    They are not for the heads of Projected GAN, which use BatchNorm and spectral norm, and with those DCGAN's
    generator collapsed.

    Args:
        maps: Channels and side of each map, from :func:`feature_maps`.
        width: Channels at 32×32. They double with each halving.
    """

    def __init__(self, maps: Sequence[tuple[int, int]], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head_of_map(channels, side, width) for channels, side in maps)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Compute logits [B, L] of L patches over all scales from maps [B, C, H, W]."""
        grids = [head(seen) for head, seen in zip(self.heads, maps, strict=True)]
        side = max(grid.shape[-1] for grid in grids)
        return torch.cat([F.interpolate(grid, (side, side)).flatten(1) for grid in grids], 1)


def _head_of_map(channels: int, side: int, width: int) -> nn.Sequential:
    layers = nn.Sequential()

    def add(kernel: int, stride: int) -> None:
        nonlocal channels
        wide = width * max(1, 32 // side)
        layers.append(ConvNormAct(channels, wide, kernel, stride=stride, padding=1, norm=None, activation="leaky_relu"))
        channels = wide

    if side <= 8:
        add(3, 1)
    while side > 8:
        side //= 2
        add(4, 2)
        add(3, 1)
    layers.append(nn.Conv2d(channels, 1, min(4, side)))
    return layers
