"""Critics, which a discriminator is a set of: each has what it sees of an image, and a head that makes logits of that.

What is seen has nothing to learn and can be differentiated in the image: the pixels themselves, or maps of a frozen
network's features. The head is learned.
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

#: What a critic sees of images: [B, 3, S, S] pixels, or a tuple of maps [B, C, H, W].
Seen = Tensor | tuple[Tensor, ...]

#: Networks that can be looked through: the stages that are tapped, at strides 4, 8, 16 and 32 of the published layout,
#: and their channels.
TAPS: dict[str, tuple[tuple[str, int], ...]] = {
    "efficientnet_lite0": (("stage2", 24), ("stage3", 40), ("stage5", 112), ("stage7", 320)),
}
STRIDES = (4, 8, 16, 32)
#: What scale i's features are mixed to, before the deeper scale's are added: Projected GAN's channels.
MIXED = (64, 128, 256, 512)
#: Of the random mixing. It is no hyperparameter: any draw will do, and every run has the same.
MIXING_SEED = 0


def of_images(logits: Tensor) -> Tensor:
    """Logits of images [B], of which each is its patches' mean where there are several: [B] or [B, L]."""
    return logits if logits.ndim == 1 else logits.mean(1)


class Features(NamedTuple):
    """What a :class:`FeatureView` makes of images.

    ``maps``: a tuple of [B, C, H, W], as :func:`feature_maps` says. ``pooled``: float32 [B, D], the mean over positions
    of each tapped channel before the mixing.
    """

    maps: tuple[Tensor, ...]
    pooled: Tensor


def pooled_dims(name: str) -> int:
    """D of :class:`Features`."""
    return sum(channels for _, channels in TAPS[name])


def feature_maps(size: int) -> list[tuple[int, int]]:
    """Channels and side of each map that a :class:`FeatureView` makes of images brought to ``size``."""
    outputs = [MIXED[0], *(wide // 2 for wide in MIXED[1:])]
    return [(channels, 2 * -(-size // stride)) for channels, stride in zip(outputs, STRIDES, strict=True)]


class FeatureView(nn.Module):
    """Images as a frozen network sees them, mixed at random across channels and scales.

    Sauer et al., Projected GANs Converge Faster, arXiv:2111.01007, section 3.2 and figure 2. Taps after strides 4, 8,
    16 and 32 are mixed to 64, 64, 128 and 256 maps of twice the tap's size, each scale divided by its root mean square
    over one batch of real images. Nothing here is learned, and of its state only those four numbers are kept.

    Args:
        name: a key of ``TAPS``.
        state_dict: its published weights, under facegen's names.
        size: side that images are brought to, bilinearly.
        dtype: of the frozen arithmetic and of what is seen.
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
        # (x + 1) / 2 is in [0, 1], which the weights' own normalisation is of.
        self.register_buffer("_shift", 1 - 2 * mean, persistent=False)
        self.register_buffer("_scale", 1 / (2 * std), persistent=False)

    def tapped(self, images: Tensor) -> list[Tensor]:
        """Float [B, 3, S, S] in [−1, 1] → the frozen network's own features, before the mixing."""
        with without_autocast(images.device):
            images = (images + self._shift) * self._scale
            if images.shape[-1] != self.size:
                images = F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)
            # NaN, or 0. The frozen activations clip NaN to a number, and a G gone wrong would look well.
            nothing = (images.detach() * 0).sum((1, 2, 3), keepdim=True).to(self.dtype)
            return [features + nothing for features in self.taps(images.to(self.dtype))]

    def forward(self, images: Tensor) -> Features:
        """Float [B, 3, S, S] in [−1, 1] → what is seen of them; the maps are of ``dtype``."""
        tapped = self.tapped(images)
        with without_autocast(images.device):
            pooled = torch.cat([features.float().mean((2, 3)) for features in tapped], 1)
            return Features(tuple(self.mixing(tapped)), pooled)


class FeatureHead(nn.Module):
    """A small convolutional network for each map of a :class:`FeatureView`: logits of patches, no norm anywhere.

    4×4 convolutions at stride 2 halve a map down to 8×8 or less, each with a 3×3 convolution behind it, all with
    LeakyReLU(0.2); a map that is as small already has the 3×3 alone. One more 4×4 convolution makes the logits. A deep
    map, which sees the whole face, has fewer patches than a shallow one: its logits are repeated until each map has as
    many, so that all count alike.

    Without a norm an image's logits are its own, so that R1 and R2 can be asked for: in Projected GAN's heads, with
    BatchNorm and spectral norm, they cannot, and DCGAN's generator collapsed.

    Args:
        maps: channels and side of each, of :func:`feature_maps`.
        width: channels at 32×32; they double with each halving.
    """

    def __init__(self, maps: Sequence[tuple[int, int]], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head_of_map(channels, side, width) for channels, side in maps)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Maps [B, C, H, W] → logits [B, L] of L patches over all scales."""
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
