"""Architectures: networks by name, their options, and rules to load the weights of other projects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

#: (regular expression, replacement) applied to each key in turn, as by :func:`re.sub`.
KeyRules = Sequence[tuple[str, str]]


class Pixels(NamedTuple):
    """The normalisation that weights were trained with: ``(x − mean) / std`` of RGB pixels x in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Pixels in [−1, 1].
CENTRED = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNIT = Pixels((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

CLASSIFIER, GENERATOR, DISCRIMINATOR, FILTER = ROLES = ("classifier", "generator", "discriminator", "filter")


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Attributes:
        name: The name for :func:`.find_architecture`.
        build: Builds the network from keyword arguments. Classifiers take ``classes``, ``in_channels`` and ``width``
            (channels after the first convolution; the other layers keep the published proportions). Classifiers of
            images also take ``size`` (the side of the images, which decides on the strides). Discriminators take all
            of these, ``norm`` (see :func:`.make_norm`) and ``weight_norm`` (see :func:`.normalise_weight`).
            Generators take ``latent_dim``, ``width`` (channels before the last layer) and ``size``. The defaults give
            the published network.
        input: Shape of one input of the default network, without the batch dimension.
        source: The paper, and the table or figure in it.
        role: One of ``ROLES``.
        keys: Rules that rename the keys of another project's state dict to this one's. None if no other project has
            the network.
        pixels: The normalisation of images that the published weights were trained with.
        vocabulary: The inputs are int64 tokens in [0, vocabulary). None if they are floats.
    """

    name: str
    build: Callable[..., nn.Module]
    input: tuple[int, ...]
    source: str
    role: str = CLASSIFIER
    keys: KeyRules | None = None
    pixels: Pixels = IMAGENET
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"{self.name} has the role {self.role!r}, which is none of {', '.join(ROLES)}")

    def random_input(self, batch: int = 1, shape: Sequence[int] | None = None) -> Tensor:
        """Return a random batch of inputs of ``shape`` (by default ``self.input``): N(0, 1), or uniform tokens."""
        shape = (batch, *(self.input if shape is None else shape))
        return torch.randn(shape) if self.vocabulary is None else torch.randint(self.vocabulary, shape)

    def convert(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of another project's state dict. Keys that no rule matches are kept.

        The shapes are the same in both. A state dict that has this project's names already is not changed.
        """
        return rename_keys(state_dict, self.keys or ())


def rename_keys(state_dict: Mapping[str, Tensor], rules: KeyRules) -> dict[str, Tensor]:
    """Apply every rule to every key, in the given order."""
    renamed = {}
    for key, tensor in state_dict.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed
