"""Discriminators: images in [−1, 1] in, one logit per image out (positive means real). See ``facegen.cnn``."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from facegen.cnn.architecture import CLASSIFIER, DISCRIMINATOR
from facegen.cnn.layers import normalise_weights
from facegen.cnn.registry import ARCHITECTURES, find_architecture


def discriminator_names() -> tuple[str, ...]:
    """Return the names that a recipe can use: every network of single images, including those of extensions."""
    return tuple(
        name
        for name, architecture in ARCHITECTURES.items()
        if architecture.role in (CLASSIFIER, DISCRIMINATOR) and len(architecture.input) == 3
    )


class Discriminator(nn.Module):
    """A network with one class, whose output is the discriminator's logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits [B] of images, float [B, 3, size, size] in [−1, 1]."""
        logits: Tensor = self.network(images)
        return logits.flatten()


#: The architecture's own choice of norm.
PUBLISHED = "published"
#: Norms of activations that a recipe can name: the published one, or one of :func:`.make_norm`.
NORMS = (PUBLISHED, "batch", "layer", "instance", "group", "none")
#: Norms of weights that a recipe can name: the published one, or one of :func:`.normalise_weight`.
WEIGHT_NORMS = (PUBLISHED, "spectral", "none")


def build_discriminator(
    name: str, *, width: int, size: int, norm: str = PUBLISHED, weight_norm: str = PUBLISHED
) -> Discriminator:
    """Build the architecture ``name`` as a discriminator of RGB images, with strides for images of ``size``×``size``.

    Args:
        width: Channels after the first convolution. The other layers keep the published proportions.
        norm: Norm of activations, one of ``NORMS``.
        weight_norm: Norm of every convolution's and linear layer's weights, one of ``WEIGHT_NORMS``. A published
            weight norm belongs to the published norm of activations. If ``norm`` is another one, there is no weight
            norm unless this argument names one.

    Raises:
        ValueError: The architecture does not have one of these options.
    """
    architecture = find_architecture(name)
    options: dict[str, Any] = {"classes": 1, "in_channels": 3, "width": width, "size": size}
    if norm != PUBLISHED:
        options["norm"] = _or_none(norm)
    if weight_norm == PUBLISHED and norm != PUBLISHED:
        weight_norm = "none"
    # A discriminator's layers are initialised as its weight norm asks; a classifier is built first and normalised
    # later.
    if weight_norm != PUBLISHED and architecture.role == DISCRIMINATOR:
        options["weight_norm"] = _or_none(weight_norm)
    lacking = options.keys() - inspect.signature(architecture.build).parameters.keys()
    if lacking:
        raise ValueError(f"the network {name} has no {' and no '.join(sorted(lacking))} to choose")
    network = architecture.build(**options)
    if weight_norm != PUBLISHED and architecture.role == CLASSIFIER:
        normalise_weights(network, _or_none(weight_norm))
    return Discriminator(network)


def _or_none(name: str) -> str | None:
    return None if name == "none" else name
