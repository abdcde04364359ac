"""The common structure of all classifiers: features, pooling to one vector, and a classifier of that vector."""

from __future__ import annotations

from torch import Tensor, nn

#: Maximum side of small images, in pixels. After the first strides of a network for 224 pixels, no positions would be
#: left of them. With a ``size`` up to this, networks begin with smaller strides, which each docstring gives.
SMALL = 96


class Classifier(nn.Module):
    """``features`` → ``pool`` → ``classifier``, as three children that can also be used separately.

    ``features`` keeps positions, ``pool`` reduces them to one vector per input, and ``classifier`` computes logits.
    """

    features: nn.Module
    pool: nn.Module
    classifier: nn.Module

    def embed(self, x: Tensor) -> Tensor:
        """Compute the input of the classifier: float [B, in_channels, ...] → [B, D]."""
        vectors: Tensor = self.pool(self.features(x))
        return vectors

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, in_channels, ...] → logits [B, classes]."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits


def scaled(channels: int, width: int, base: int, *, multiple: int = 1) -> int:
    """Scale ``channels`` of a network whose first layer has ``base`` channels to one that has ``width``.

    The result is rounded to the nearest ``multiple`` (for example, the number of groups), and is at least that.
    """
    return max(round(channels * width / base / multiple), 1) * multiple
