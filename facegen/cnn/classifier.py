"""What every classifier here has in common: features, a pooling to one vector, and a classifier of it."""

from __future__ import annotations

from torch import Tensor, nn

#: Up to this side, in pixels, a network laid out for photographs of 224 would have no positions left after its first
#: strides. Networks with ``size`` at most this take small strides at first; each docstring says which.
SMALL = 96


class Classifier(nn.Module):
    """``features`` → ``pool`` → ``classifier``, as three children that can be used apart.

    ``features`` keeps positions, ``pool`` leaves one vector an input, ``classifier`` turns it into logits.
    """

    features: nn.Module
    pool: nn.Module
    classifier: nn.Module

    def embed(self, x: Tensor) -> Tensor:
        """What the classifier sees: float [B, in_channels, ...] → [B, D]."""
        vectors: Tensor = self.pool(self.features(x))
        return vectors

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, in_channels, ...] → logits [B, classes]."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits


def scaled(channels: int, width: int, base: int, *, multiple: int = 1) -> int:
    """``channels`` of a network whose first layer has ``base`` of them, for one that has ``width`` instead.

    Rounded to the nearest ``multiple`` (of groups, say), which is also the least.
    """
    return max(round(channels * width / base / multiple), 1) * multiple
