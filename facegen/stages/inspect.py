"""Inspect: shows the layers of a network as a table, and one layer as a picture."""

from __future__ import annotations

import inspect as introspection
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from facegen import console
from facegen.cnn.architecture import FILTER, Architecture
from facegen.cnn.inspect import LayerRow, find_layer, first_convolution, layer_table
from facegen.cnn.registry import find_architecture
from facegen.data.caps import LARGEST_IMAGE
from facegen.data.decode import Unreadable, decode
from facegen.data.rgb import AS_STORED
from facegen.data.transform import resize_and_crop
from facegen.errors import InputError
from facegen.files import StrPath, optional_path, read_regular
from facegen.notebook.cards import card, facts, picture_file, table
from facegen.pictures.contact_sheet import require_ours, save_png
from facegen.pictures.layer_figure import layer_figure
from facegen.weights.loading import network_from_file
from facegen.weights.packaged import effnet_lite0_path


@dataclass(frozen=True)
class InspectResult:
    """The layers of an architecture for inputs of one shape.

    Attributes:
        architecture: The network's name.
        input: Shape of one input.
        batch: Number of inputs that ``activation_bytes`` counts.
        layers: One row per layer.
        picture: The PNG of one layer's output. None without an image.
    """

    architecture: str
    input: tuple[int, ...]
    batch: int
    layers: tuple[LayerRow, ...]
    picture: Path | None = None

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(row.parameters for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one input."""
        return sum(row.macs for row in self.layers)

    def _repr_html_(self) -> str | None:
        heads = ("layer", "kind", "kernel", "stride", "padding", "output", "receptive field", "parameters")
        rows = [
            (
                *(row.name, row.kind),
                *(None if each is None else times(each) for each in (row.kernel, row.stride, row.padding)),
                times(row.output),
                None if row.receptive_field is None else times(row.receptive_field),
                f"{row.parameters:,}",
            )
            for row in self.layers
        ]
        found = facts({"input": times(self.input), "parameters": f"{self.parameters:,}", "macs": f"{self.macs:,}"})
        shown = () if self.picture is None else (picture_file(self.picture, f"a layer of {self.architecture}"),)
        return card(self.architecture, found, *shown, table(heads, rows))

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs in float32 for the batch, in bytes."""
        return self.batch * sum(row.activation_bytes for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of ``facegen inspect --json``. A layer's ``activation_bytes`` are for the whole batch too."""
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
    image: StrPath | None = None,
    layer: str | None = None,
    out: StrPath | None = None,
    weights: StrPath | None = None,
) -> InspectResult:
    """Return the layers of a network with their sizes, receptive fields, parameters, multiply-adds and memory.

    With ``image`` and ``out`` a picture is drawn as well. It shows the image, the filters of the layer's first
    convolution, and the layer's feature maps. The shorter side of the image is resized to the input size, and the
    centre is cropped.

    Args:
        architecture: A name in :mod:`facegen.cnn.registry`.
        input: Shape of one input without the batch dimension, such as ``(3, 64, 64)``. Its first number is the
            network's ``in_channels`` (a generator's ``latent_dim``). None for the published shape.
        batch: Number of inputs whose activations are counted.
        width: Channels after the first convolution. None for the published network.
        size: Side of the images that the strides are chosen for. None for the published strides, whatever the input.
        image: The picture to draw the layer's output of.
        layer: Name of the layer. A leading ``features.`` can be omitted. None for the first convolution.
        out: The ``.png`` to write.
        weights: Weights for the picture: a state dict, ``.safetensors`` or by ``torch.save``, with facegen's or
            torchvision's names. None for ImageNet's for efficientnet_lite0, and for random weights otherwise, which a
            warning says.

    Raises:
        InputError: There is no such architecture, it does not take an option or the input; the image, the layer or
            the weights file cannot be used; only one of ``image`` and ``out`` is given; or a file at ``out`` was not
            made by facegen.
    """
    image, out, weights = optional_path(image), optional_path(out), optional_path(weights)
    found, shape, options = _settings(architecture, input, width, size)
    if image is None or out is None:
        if (image, out, layer, weights) != (None,) * 4:
            raise InputError("A picture of a layer needs an image and a PNG to write.", "Give both image and out.")
        return InspectResult(found.name, shape, batch, tuple(_layers_of(found, shape, options)))
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out} does not end in .png.", f"Call it {out.stem or 'layer'}.png, for example.")
    require_ours(out)
    pixels = _pixels_for(found, shape, image)
    layers = tuple(_layers_of(found, shape, options))  # explains an input that does not fit
    try:
        # Before the weights are created, which can take a while.
        layer = _name_of_layer(found, options, layer)
        network = _with_weights(found, options, weights)
        caption = f"{image.name}, {times(shape, 'x')}"
        picture = layer_figure(found, network, layer, pixels, caption, channels=shape[0])
    except ValueError as problem:
        raise InputError(f"Cannot draw {layer} of {found.name}: {problem}.") from problem
    save_png(out, picture)
    return InspectResult(found.name, shape, batch, layers, out)


def _settings(
    name: str, shape: tuple[int, ...] | None, width: int | None, size: int | None
) -> tuple[Architecture, tuple[int, ...], dict[str, int]]:
    """Return the architecture, the shape of its input, and the options to build it with."""
    try:
        found = find_architecture(name)
    except ValueError as problem:
        hint = str(problem).partition("did you mean ")[2].rstrip("?")
        message = f"There is no architecture {name!r}."
        raise InputError(message, f"Did you mean {hint}?" if hint else "See 'facegen inspect --list'.") from problem
    takes = introspection.signature(found.build).parameters
    options = {}
    for option, value in (("width", width), ("size", size)):
        if value is not None and option not in takes:
            raise InputError(f"{name} does not take --{option}.", "Leave it out.")
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


def _build(architecture: Architecture, options: Mapping[str, int]) -> nn.Module:
    """Build the network in eval mode, because the table and the picture show what it does at test time."""
    try:
        return architecture.build(**options).eval()
    except ValueError as problem:
        raise InputError(f"{architecture.name} cannot be built with these options: {problem}.") from problem


def _layers_of(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> list[LayerRow]:
    try:
        return _table(architecture, shape, options)
    except ValueError as problem:
        remedy = f"Use --input {times(architecture.input, 'x')}"
        if _fits(architecture, shape, {**options, "size": shape[-1]}):
            remedy += f", or choose the strides for this size with --size {shape[-1]}"
        raise InputError(f"{architecture.name} cannot take {times(shape)}: {problem}.", f"{remedy}.") from problem


def _table(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> list[LayerRow]:
    with torch.device("meta"):
        return layer_table(_build(architecture, options), architecture.random_input(1, shape))


def _fits(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> bool:
    if "size" not in introspection.signature(architecture.build).parameters:
        return False
    try:
        return bool(_table(architecture, shape, options))
    except (ValueError, InputError):
        return False


def _pixels_for(architecture: Architecture, shape: tuple[int, ...], path: Path) -> npt.NDArray[np.uint8]:
    """Load a picture in the input size of a network of images: uint8 [S, S, 3]. InputError for any other network."""
    if len(architecture.input) != 3 or architecture.vocabulary is not None:
        raise InputError(
            f"{architecture.name} does not take images, so there is nothing to draw.", "Choose a network of images."
        )
    if shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise InputError(f"A picture cannot be an input of {times(shape)}.", "Use --input 3xNxN, or 1xNxN for grey.")
    try:
        return resize_and_crop(decode(read_regular(path, LARGEST_IMAGE), AS_STORED).image, shape[1])
    except (Unreadable, OSError) as problem:
        reason = problem.reason if isinstance(problem, Unreadable) else problem.strerror
        raise InputError(f"Cannot read the image {path}: {reason}.") from problem


def _name_of_layer(architecture: Architecture, options: Mapping[str, int], layer: str | None) -> str:
    """Return the layer's full name, or that of the first convolution for None."""
    with torch.device("meta"):
        network = _build(architecture, options)
    if layer is not None:
        return find_layer(network, layer)[0]
    convolution = first_convolution(network)
    assert convolution is not None  # every network of images has one
    return convolution[0]


def _with_weights(architecture: Architecture, options: Mapping[str, int], path: Path | None) -> nn.Module:
    """Build the network with the weights of the file, else with installed ImageNet weights, else with random ones."""
    published = architecture.name == "efficientnet_lite0" and options.get("in_channels", 3) == 3
    if path is None and published and "width" not in options:
        path = effnet_lite0_path()
    if path is not None:
        return network_from_file(architecture, options, path)
    if architecture.role != FILTER:
        console.warn(f"{architecture.name} has random weights, so its filters are not learned. Use --weights.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _build(architecture, options)


def _one_or_all(sizes: tuple[int, ...]) -> int | tuple[int, ...] | None:
    if len(set(sizes)) > 1:
        return sizes
    return sizes[0] if sizes else None


def times(shape: Sequence[object], sign: str = "×") -> str:
    return sign.join(map(str, shape))
