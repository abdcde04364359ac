"""Inspect: a network by name becomes a table of its layers."""

from __future__ import annotations

import inspect as introspection
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from facegen.cnn.architecture import Architecture
from facegen.cnn.inspect import LayerRow, layer_table
from facegen.cnn.registry import find_architecture
from facegen.errors import InputError


@dataclass(frozen=True)
class Inspection:
    """The layers of an architecture for inputs of one shape.

    Attributes:
        input: the shape of one input.
        batch: inputs that ``activation_bytes`` counts.
    """

    architecture: str
    input: tuple[int, ...]
    batch: int
    layers: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one input."""
        return sum(row.macs for row in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs in float32 for the batch."""
        return self.batch * sum(row.activation_bytes for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """As ``facegen inspect --json`` prints it; a layer's ``activation_bytes`` are of the batch too."""
        return {
            "schema": 1,
            "architecture": self.architecture,
            "input": self.input,
            "batch": self.batch,
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "layers": [
                {
                    **asdict(row),
                    "receptive_field": _one_or_all(row.receptive_field),
                    "activation_bytes": self.batch * row.activation_bytes,
                }
                for row in self.layers
            ],
        }


def inspect(
    architecture: str,
    *,
    input: tuple[int, ...] | None = None,
    batch: int = 1,
    width: int | None = None,
    size: int | None = None,
) -> Inspection:
    """The layers of a network, each with its sizes, receptive field, parameters, multiply-adds and memory.

    Args:
        architecture: a name in :mod:`facegen.cnn.registry`.
        input: the shape of one input without the batch, ``(3, 64, 64)`` say; None is the published one. Its first
            number is the network's ``in_channels`` (a generator's ``latent_dim``).
        batch: inputs whose activations are counted.
        width: channels after the first convolution; None is the published network.
        size: side of the images that the strides are laid out for; None is the published network, whatever the input.

    Raises:
        InputError: no such architecture, an option it does not take, or an input that it cannot take.
    """
    found, shape, options = settings(architecture, input, width, size)
    return Inspection(found.name, shape, batch, tuple(layers_of(found, shape, options)))


def settings(
    name: str, shape: tuple[int, ...] | None, width: int | None, size: int | None
) -> tuple[Architecture, tuple[int, ...], dict[str, int]]:
    """The architecture, the shape of its input, and what to build it with."""
    try:
        found = find_architecture(name)
    except ValueError as problem:
        hint = str(problem).partition("did you mean ")[2]
        message = f"There is no architecture {name!r}."
        raise InputError(message, f"Did you mean {hint}" if hint else "See 'facegen inspect --list'.") from problem
    takes = introspection.signature(found.build).parameters
    options = {}
    for option, value in (("width", width), ("size", size)):
        if value is not None and option not in takes:
            raise InputError(f"{name} takes no --{option}.", "Leave it out.")
        if value is not None:
            options[option] = value
    if shape is None:
        if size is not None and len(found.input) == 3:
            return found, (found.input[0], size, size), options
        return found, found.input, options
    if len(shape) != len(found.input):
        raise InputError(
            f"{name} takes inputs of {len(found.input)} numbers, not {len(shape)}: {times(found.input)}, for example.",
            f"Use --input {times(found.input, 'x')}.",
        )
    channels = "latent_dim" if "latent_dim" in takes else "in_channels"
    if channels in takes and found.vocabulary is None:
        options[channels] = shape[0]
    return found, shape, options


def build(architecture: Architecture, options: Mapping[str, int]) -> nn.Module:
    """The network in eval mode: a table and a picture show what it does at test time."""
    try:
        return architecture.build(**options).eval()
    except ValueError as problem:
        raise InputError(f"{architecture.name} cannot be built like that: {problem}.") from problem


def layers_of(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> list[LayerRow]:
    try:
        return _table(architecture, shape, options)
    except ValueError as problem:
        remedy = f"It is made for --input {times(architecture.input, 'x')}"
        if _fits(architecture, shape, {**options, "size": shape[-1]}):
            remedy += f", or lay it out for these with --size {shape[-1]}"
        raise InputError(f"{architecture.name} cannot take {times(shape)}: {problem}.", f"{remedy}.") from problem


def _table(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> list[LayerRow]:
    with torch.device("meta"):
        return layer_table(build(architecture, options), architecture.random_input(1, shape))


def _fits(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> bool:
    if "size" not in introspection.signature(architecture.build).parameters:
        return False
    try:
        return bool(_table(architecture, shape, options))
    except (ValueError, InputError):
        return False


def _one_or_all(sizes: tuple[int, ...]) -> int | tuple[int, ...] | None:
    if len(set(sizes)) > 1:
        return sizes
    return sizes[0] if sizes else None


def times(shape: tuple[int, ...], sign: str = "×") -> str:
    return sign.join(map(str, shape))
