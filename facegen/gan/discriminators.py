"""Discriminators: images in [−1, 1] in, one logit each out (positive: real). The networks are ``facegen.cnn``'s."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from facegen.cnn.architecture import CLASSIFIER, DISCRIMINATOR
from facegen.cnn.layers import normalise_weights
from facegen.cnn.registry import ARCHITECTURES, find_architecture


def discriminator_names() -> tuple[str, ...]:
    """What a recipe can name at present: every network of single images, those registered from outside too."""
    return tuple(
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


#: The architecture's own choice.
PUBLISHED = "published"
#: What a recipe can name as the norm of D's activations: the published one, or one of :func:`.make_norm`.
NORMS = (PUBLISHED, "batch", "layer", "instance", "group", "none")
#: What a recipe can name as the norm of D's weights: the published one, or one of :func:`.normalise_weight`.
WEIGHT_NORMS = (PUBLISHED, "spectral", "none")


def build_discriminator(
    name: str, *, width: int, size: int, norm: str = PUBLISHED, weight_norm: str = PUBLISHED
) -> Discriminator:
    """The architecture ``name`` as a discriminator of RGB images, its strides laid out for ``size``×``size``.

    Args:
        width: channels after the first convolution; the others keep the published proportion.
        norm: of activations, one of ``NORMS``.
        weight_norm: of every convolution and linear layer, one of ``WEIGHT_NORMS``. A published weight norm goes with
            the published norm: where ``norm`` is another, there is none unless ``weight_norm`` names one.

    Raises:
        ValueError: a network that takes no such option.
    """
    architecture = find_architecture(name)
    options: dict[str, Any] = {"classes": 1, "in_channels": 3, "width": width, "size": size}
    if norm != PUBLISHED:
        options["norm"] = _or_none(norm)
    if weight_norm == PUBLISHED and norm != PUBLISHED:
        weight_norm = "none"
    # A discriminator's layers start as its weight norm asks; a classifier is made first and normalised then.
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
