"""Discriminators: images in [−1, 1] in, one logit each out (positive: real). The networks are ``facegen.cnn``'s."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

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


#: What a recipe can name as D's norm: the architecture's own, or one of :func:`facegen.cnn.layers.make_norm`.
NORMS = ("published", "batch", "layer", "instance", "group", "spectral", "none")


def build_discriminator(name: str, *, width: int, size: int, norm: str = "published") -> Discriminator:
    """The architecture ``name`` as a discriminator of RGB images, its strides laid out for ``size``×``size``.

    Args:
        width: channels after the first convolution; the others keep the published proportion.
        norm: one of ``NORMS``. Spectral norm reaches the last layer too, which has no norm of its own.
    """
    options = {} if norm == "published" else {"norm": None if norm == "none" else norm}
    network = find_architecture(name).build(classes=1, in_channels=3, width=width, size=size, **options)
    if norm == "spectral":
        for layer in network.get_submodule("classifier").modules():
            if isinstance(layer, nn.Linear) and not is_parametrized(layer):
                spectral_norm(layer)
    return Discriminator(network)
