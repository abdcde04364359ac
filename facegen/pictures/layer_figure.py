"""A figure of one layer at work: the image, the filters of its first convolution, and its feature maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen.cnn.architecture import FILTER, Architecture
from facegen.cnn.inspect import feature_maps, first_convolution
from facegen.pictures.contact_sheet import figure
from facegen.pictures.feature_maps import enlarge, filter_sheet, map_sheet

_PANEL = 448  # pixels; feature maps get twice that

Pixels = npt.NDArray[np.uint8]


def layer_figure(
    architecture: Architecture, network: nn.Module, layer: str, image: Pixels, caption: str, *, channels: int = 3
) -> Pixels:
    """What a layer makes of an image, uint8 [H, W, 3].

    Pixels are normalised as the architecture's published weights expect them.

    Args:
        network: of this architecture, in eval mode on the CPU.
        layer: its full name in the network.
        image: uint8 [S, S, 3], as large as the network's input.
        caption: of the image.
        channels: of the input; one is the mean of the three.

    Raises:
        ValueError: the layer has no feature maps.
    """
    module = network.get_submodule(layer)
    maps = feature_maps(network, module, _normalised(image, architecture, channels))[0].numpy()
    panels = [(caption, enlarge(image, _PANEL))]
    if (convolution := first_convolution(module)) is not None:
        below, conv = convolution
        filters = conv.weight.detach().numpy()
        # One set by hand is the same for every channel.
        sheet, shown = filter_sheet(filters[:1, :1] if architecture.role == FILTER else filters, _PANEL)
        panels.append((f"{'.'.join(filter(None, (layer, below)))}: {shown}", sheet))
    if architecture.role == FILTER and len(maps) == 3:
        panels.append((f"{layer}: the image, filtered", enlarge(_to_pixels(maps), _PANEL)))
    else:
        sheet, shown = map_sheet(maps, _PANEL if len(maps) == 1 else 2 * _PANEL)
        panels.append((f"{layer}: {shown}", sheet))
    return figure(panels)


def _normalised(image: Pixels, architecture: Architecture, channels: int) -> Tensor:
    """uint8 [H, W, 3] → float32 [1, channels, H, W] as the weights expect it."""
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in architecture.pixels)
    x = (x - mean) / std
    return x if channels == 3 else x.mean(1, keepdim=True)


def _to_pixels(maps: npt.NDArray[np.float32]) -> Pixels:
    return (maps.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
