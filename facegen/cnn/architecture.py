"""An architecture: a network by name, with what it takes and how other projects' weights load into it."""

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
    """The inputs that weights were trained on: ``(x − mean) / std`` of RGB pixels x in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: In [−1, 1].
CENTRED = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNIT = Pixels((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

CLASSIFIER, GENERATOR, DISCRIMINATOR, FILTER = ROLES = ("classifier", "generator", "discriminator", "filter")


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Attributes:
        name: as :func:`.find_architecture` takes it.
        build: makes the network, from keyword arguments only. Classifiers take ``classes``, ``in_channels`` and
            ``width`` (channels after the first convolution; the others keep the published proportion), those of
            images ``size`` (the side of the images that the strides are laid out for) as well. Discriminators take
            all these, ``norm`` (see :func:`.make_norm`) and ``weight_norm`` (see :func:`.normalise_weight`), and
            generators ``latent_dim``, ``width`` (channels before the last layer) and ``size``. Defaults are the
            published network.
        input: the shape of one input, without the batch, that the defaults are made for.
        source: the paper, and the table or figure in it.
        role: one of ``ROLES``.
        keys: rules from another project's state dict to this one's, or None where no other has such a network.
        pixels: of images, what the published weights were trained on.
        vocabulary: inputs are int64 tokens in [0, vocabulary); None: they are floats.
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
        """A batch of inputs of ``shape`` (by default ``self.input``): N(0, 1), or uniform tokens."""
        shape = (batch, *(self.input if shape is None else shape))
        return torch.randn(shape) if self.vocabulary is None else torch.randint(self.vocabulary, shape)

    def convert(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The other project's state dict under this one's names; names that no rule knows are kept.

        Shapes agree as they are. A state dict that has this project's names already is not touched by the rules.
        """
        return rename_keys(state_dict, self.keys or ())


def rename_keys(state_dict: Mapping[str, Tensor], rules: KeyRules) -> dict[str, Tensor]:
    """Apply every rule to every key, in the order given."""
    renamed = {}
    for key, tensor in state_dict.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed
