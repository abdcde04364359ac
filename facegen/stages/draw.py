"""Draw: what a network's layer makes of an image becomes a picture. It is ``facegen inspect --image``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen import console
from facegen.cnn.architecture import FILTER, Architecture
from facegen.cnn.inspect import feature_maps, find_layer, first_convolution
from facegen.data.decode import Unreadable, decode
from facegen.data.transform import resize_and_crop
from facegen.errors import InputError
from facegen.pictures.contact_sheet import figure, save_png
from facegen.pictures.feature_maps import enlarge, filter_sheet, map_sheet
from facegen.stages.inspect import build, layers_of, settings, times
from facegen.weights.state_dicts import effnet_lite0_path, read_state_dict

_PANEL = 448  # pixels; feature maps get twice that


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

    The image's shorter side is resized to the input, its centre cut out. Pixels are normalised as the architecture's
    published weights expect them.

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
    found, shape, options = settings(architecture, input, width, size)
    if len(found.input) != 3 or found.vocabulary is not None:
        raise InputError(f"{found.name} takes no images, so there is nothing to draw.", "Choose a network of images.")
    if shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise InputError(f"A picture cannot be an input of {times(shape)}.", "Use --input 3xNxN, or 1xNxN for grey.")
    pixels = _read_square(image, shape[1])
    layers_of(found, shape, options)  # tells in words of an input that does not fit
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


def _name_of_layer(architecture: Architecture, options: Mapping[str, int], layer: str | None) -> str:
    """The layer's full name; that of the first convolution for None."""
    with torch.device("meta"):
        network = build(architecture, options)
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
            return build(architecture, options)
    state_dict = architecture.convert(read_state_dict(path))
    # Heads for training only, which no picture sees.
    state_dict = {key: tensor for key, tensor in state_dict.items() if not key.lower().startswith("aux")}
    with torch.device("meta"):
        network = build(architecture, options)
        last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1:]
        if last and f"{last[0]}.weight" in state_dict:
            network = build(architecture, {**options, "classes": len(state_dict[f"{last[0]}.weight"])})
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
    """uint8 [H, W, 3] → float32 [1, channels, H, W] as the weights expect it; one channel is the mean of the three."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in architecture.pixels)
    x = (x - mean) / std
    return x if channels == 3 else x.mean(1, keepdim=True)


def _to_pixels(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return (maps.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
