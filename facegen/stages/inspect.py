"""Inspect: a network by name becomes a table of its layers, or a picture of its filters and feature maps."""

from __future__ import annotations

import inspect as introspection
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen import console
from facegen.cnn.architecture import CLASSIFIER, FILTER, Architecture
from facegen.cnn.inspect import LayerRow, feature_maps, find_layer, first_convolution, layer_table
from facegen.cnn.registry import find_architecture
from facegen.data.decode import Unreadable, decode
from facegen.data.grid import figure, save_png
from facegen.data.maps import enlarge, filter_sheet, map_sheet
from facegen.data.state_dicts import effnet_lite0_path, read_state_dict
from facegen.data.transform import resize_and_crop
from facegen.errors import InputError

#: Those whose published weights expect pixels in [−1, 1]; the other classifiers', ImageNet's mean and deviation.
_CENTRED = ("efficientnet_lite0", "googlenet", "inception_v3", "inception_v3_fid")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PANEL = 448  # pixels; feature maps get twice that


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
    found, shape, options = _settings(architecture, input, width, size)
    return Inspection(found.name, shape, batch, tuple(_layers(found, shape, options)))


def draw(
    architecture: str,
    image: Path,
    out: Path,
    *,
    layer: str | None = None,
    weights: Path | None = None,
    input: tuple[int, ...] | None = None,
    width: int | None = None,
    size: int | None = None,
) -> Path:
    """Draw what a layer makes of an image, and its first convolution's filters, into the PNG ``out``.

    The image's shorter side is resized to the input, its centre cut out. Pixels are normalised as the weights expect
    them: in [0, 1] for filters set by hand, by ImageNet's mean and deviation for most classifiers, else in [−1, 1].

    Args:
        architecture, input, width, size: as in :func:`inspect`.
        layer: its name, where a leading ``features.`` may be left out; None is the first convolution.
        weights: a state dict, ``.safetensors`` or by ``torch.save``, with facegen's names or torchvision's. None is
            ImageNet's for efficientnet_lite0, and random ones for the others, which is said on stderr.

    Raises:
        InputError: an option, image, layer or weights file that cannot be used.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out} does not end in .png.", f"Call it {out.with_suffix('.png')}, for example.")
    found, shape, options = _settings(architecture, input, width, size)
    if len(found.input) != 3 or found.vocabulary is not None:
        raise InputError(f"{found.name} takes no images, so there is nothing to draw.", "Choose a network of images.")
    if shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise InputError(f"A picture cannot be an input of {times(shape)}.", "Use --input 3xNxN, or 1xNxN for grey.")
    pixels = _read_square(image, shape[1])
    _layers(found, shape, options)  # tells in words of an input that does not fit
    try:
        # Before any weights are made, which can take a while.
        name = _name_of_layer(found, options, layer)
        network = _with_weights(found, options, weights)
        module = network.get_submodule(name)
        maps = feature_maps(network, module, _normalised(pixels, found, shape[0]))[0].numpy()
    except ValueError as problem:
        raise InputError(f"Cannot draw {layer or name} of {found.name}: {problem}.") from problem
    panels = [(f"{image.name}, {times(shape, 'x')}", enlarge(pixels, _PANEL))]
    if (convolution := first_convolution(module)) is not None:
        below, conv = convolution
        filters = conv.weight.detach().numpy()
        # One set by hand is the same for every channel.
        sheet, shown = filter_sheet(filters[:1, :1] if found.role == FILTER else filters, _PANEL)
        panels.append((f"{'.'.join(filter(None, (name, below)))}: {shown}", sheet))
    if found.role == FILTER and len(maps) == 3:
        panels.append((f"{name}: the image, filtered", enlarge(_to_pixels(maps), _PANEL)))
    else:
        sheet, shown = map_sheet(maps, _PANEL if len(maps) == 1 else 2 * _PANEL)
        panels.append((f"{name}: {shown}", sheet))
    save_png(out, figure(panels))
    return out


def _settings(
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


def _build(architecture: Architecture, options: Mapping[str, int]) -> nn.Module:
    """The network in eval mode: a table and a picture show what it does at test time."""
    try:
        return architecture.build(**options).eval()
    except ValueError as problem:
        raise InputError(f"{architecture.name} cannot be built like that: {problem}.") from problem


def _layers(architecture: Architecture, shape: tuple[int, ...], options: Mapping[str, int]) -> list[LayerRow]:
    try:
        return _table(architecture, shape, options)
    except ValueError as problem:
        remedy = f"It is made for --input {times(architecture.input, 'x')}"
        if _fits(architecture, shape, {**options, "size": shape[-1]}):
            remedy += f", or lay it out for these with --size {shape[-1]}"
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


def _name_of_layer(architecture: Architecture, options: Mapping[str, int], layer: str | None) -> str:
    """The layer's full name; that of the first convolution for None."""
    with torch.device("meta"):
        network = _build(architecture, options)
    if layer is not None:
        return find_layer(network, layer)[0]
    convolution = first_convolution(network)
    assert convolution is not None  # every network of images has one
    return convolution[0]


def _with_weights(architecture: Architecture, options: dict[str, int], path: Path | None) -> nn.Module:
    """The network with the weights of the file; without one, with ImageNet's where they are installed, or random."""
    published = architecture.name == "efficientnet_lite0" and options.get("in_channels", 3) == 3
    if path is None and published and "width" not in options:
        path = effnet_lite0_path()
    if path is None:
        if architecture.role != FILTER:
            console.warn(f"{architecture.name} has random weights here: its filters are not learned (see --weights)")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return _build(architecture, options)
    state_dict = architecture.convert(read_state_dict(path))
    # Heads for training only, which no picture sees.
    state_dict = {key: tensor for key, tensor in state_dict.items() if not key.lower().startswith("aux")}
    with torch.device("meta"):
        network = _build(architecture, options)
        last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1:]
        if last and f"{last[0]}.weight" in state_dict:
            network = _build(architecture, {**options, "classes": len(state_dict[f"{last[0]}.weight"])})
    try:
        network.load_state_dict(state_dict, assign=True)
    except RuntimeError as problem:
        reason = " ".join(str(problem).splitlines()[1:2]).strip().rstrip(".")
        raise InputError(
            f"{path} does not fit {architecture.name}: {reason[:200]}.",
            "Name a state dict with facegen's names or torchvision's.",
        ) from problem
    return network.eval()


def _read_square(path: Path, side: int) -> npt.NDArray[np.uint8]:
    try:
        return resize_and_crop(decode(path.read_bytes()).image, side)
    except (Unreadable, OSError) as problem:
        reason = problem.reason if isinstance(problem, Unreadable) else problem.strerror
        raise InputError(f"Cannot read the image {path}: {reason}.") from problem


def _normalised(pixels: npt.NDArray[np.uint8], architecture: Architecture, channels: int) -> Tensor:
    """uint8 [H, W, 3] → float32 [1, channels, H, W] in the range that the weights expect; grey is the mean."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    if channels == 1:
        x = x.mean(1, keepdim=True)
    if architecture.role == FILTER:
        return x
    if architecture.role == CLASSIFIER and architecture.name not in _CENTRED and channels == 3:
        return (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    return 2 * x - 1


def _to_pixels(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return (maps.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)


def _one_or_all(sizes: tuple[int, ...]) -> int | tuple[int, ...] | None:
    if len(set(sizes)) > 1:
        return sizes
    return sizes[0] if sizes else None


def times(shape: tuple[int, ...], sign: str = "×") -> str:
    return sign.join(map(str, shape))
