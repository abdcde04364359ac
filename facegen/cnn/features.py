"""Features inside a network: the outputs of its stages, and a random mixing of them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureTaps(nn.Module):
    """The outputs of some stages of a network that runs its children in order.

    Stages behind the last requested one are not run.

    Args:
        network: A network whose children are the stages.
        names: Names of children, in their order.

    Raises:
        ValueError: No child has one of the names. The message suggests the nearest.
    """

    def __init__(self, network: nn.Sequential, names: Sequence[str]) -> None:
        super().__init__()
        children = dict(network.named_children())
        for name in names:
            if name not in children:
                near = get_close_matches(name, children, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(children)}"
                raise ValueError(f"no stage is called {name!r}: {hint}")
        self.names = frozenset(names)
        last = max(list(children).index(name) for name in names)
        self.stages = network[: last + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the output of each requested stage, [B, K, H', W'], from [B, C, H, W]."""
        features = []
        for name, stage in self.stages.named_children():
            x = stage(x)
            if name in self.names:
                features.append(x)
        return features


class RandomMixing(nn.Module):
    """Mixes features of several scales, first across channels and then across scales, by fixed random weights.

    Sauer et al., Projected GANs Converge Faster, arXiv:2111.01007, section 3.2 (CCM and CSM): 1×1 convolutions with
    He's normal weights mix channels. From the deepest scale up, each result is doubled in size and added to the
    features of the next scale. A discriminator of unmixed features attends to the few channels in which real and
    generated images differ most. The mixing makes it use all of them. Each result is divided by its scale, a number
    that :meth:`calibrate` measures.

    Nothing is trained. The weights follow from the seed and are not saved. The scales are saved.

    Args:
        channels: Channels of the features of each scale, the shallowest first. Each scale is half as large as the one
            before.
        mixed: Channels of each scale after mixing.
        outputs: Channels of each result. They must equal ``mixed`` of the scale before.
        seed: Seed of the weights. The state of torch's random generator does not change.
        dtype: Dtype of the weights and of the features.

    Raises:
        ValueError: A result does not fit the scale that it is added to.
    """

    scales: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        mixed: Sequence[int],
        outputs: Sequence[int],
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if list(outputs[1:]) != list(mixed[:-1]):
            raise ValueError(f"results of {list(outputs[1:])} channels cannot be added to {list(mixed[:-1])}")
        draw = torch.Generator().manual_seed(seed)
        self._count = len(channels)
        for level, (given, wide, out) in enumerate(zip(channels, mixed, outputs, strict=True)):
            for name, (fan_out, fan_in) in (("across_channels", (wide, given)), ("across_scales", (out, wide))):
                weight = torch.randn(fan_out, fan_in, 1, 1, generator=draw) * sqrt(2 / fan_in)
                self.register_buffer(f"{name}{level}", weight.to(dtype), persistent=False)
        self.register_buffer("scales", torch.ones(self._count))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Mix the features [B, C, H, W] of each scale to [B, K, 2H, 2W]. Gradients flow to the features."""
        return self._mix(features, self.scales)

    @torch.no_grad()
    def calibrate(self, features: Sequence[Tensor]) -> None:
        """Set the scales so that each result has a root mean square of 1 on these features."""
        plain = self._mix(features, torch.ones_like(self.scales))
        self.scales.copy_(torch.stack([mixed.float().square().mean().sqrt().clamp_min(1e-6) for mixed in plain]))

    def _mix(self, features: Sequence[Tensor], scales: Tensor) -> list[Tensor]:
        results: list[Tensor] = []
        for level in reversed(range(self._count)):
            mixed = F.conv2d(features[level], self.get_buffer(f"across_channels{level}"))
            if results:
                mixed = mixed + results[-1] * scales[level + 1].to(mixed.dtype)
            # The paper doubles the size first. 1×1 convolutions commute with that, and this order is a quarter of the
            # work.
            weight = self.get_buffer(f"across_scales{level}")
            mixed = F.conv2d(mixed, weight / scales[level].to(weight.dtype))
            results.append(F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=False))
        return results[::-1]
