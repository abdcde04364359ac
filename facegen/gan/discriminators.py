"""Discriminators: images in [−1, 1] in, one logit each out (positive: real). The networks are ``facegen.cnn``'s."""

from __future__ import annotations

from torch import Tensor, nn

from facegen.cnn.architecture import CLASSIFIER, DISCRIMINATOR
from facegen.cnn.registry import ARCHITECTURES, find_architecture

#: What a recipe can name: every network of single images.
DISCRIMINATORS = tuple(
    name
    for name, architecture in ARCHITECTURES.items()
    if architecture.role in (CLASSIFIER, DISCRIMINATOR) and len(architecture.input) == 3
)


class Discriminator(nn.Module):
    """A network with one class, read as D's logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Float [B, 3, size, size] in [−1, 1] → logits [B]."""
        logits: Tensor = self.network(images)
        return logits.flatten()


def build_discriminator(name: str, *, width: int, size: int) -> Discriminator:
    """The architecture ``name`` as a discriminator of RGB images, its strides laid out for ``size``×``size``.

    Args:
        width: channels after the first convolution; the others keep the published proportion.
    """
    return Discriminator(find_architecture(name).build(classes=1, in_channels=3, width=width, size=size))
