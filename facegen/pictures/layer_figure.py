"""A figure of one layer: the image, the filters of its first convolution, and its feature maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen.cnn.architecture import FILTER, Architecture
from facegen.cnn.inspect import feature_maps, first_convolution
from facegen.pictures.contact_sheet import figure
from facegen.pictures.feature_maps import enlarge, filter_sheet, map_sheet

_PANEL = 448  # pixels; the panel of feature maps is twice as wide

Pixels = npt.NDArray[np.uint8]


def layer_figure(
    architecture: Architecture, network: nn.Module, layer: str, image: Pixels, caption: str, *, channels: int = 3
) -> Pixels:
    """Draw what a layer computes from an image, as uint8 [H, W, 3].

    Pixels are normalised as the architecture's published weights expect.

    Args:
        network: A network of this architecture, in eval mode on the CPU.
        layer: Full name of the layer in the network.
        image: uint8 [S, S, 3], of the network's input size.
        caption: Caption of the image.
        channels: Channels of the input. One channel is the mean of the three.

    Raises:
        ValueError: The layer has no feature maps.
    """
    module = network.get_submodule(layer)
    maps = feature_maps(network, module, _normalised(image, architecture, channels))[0].numpy()
    panels = [(caption, enlarge(image, _PANEL))]
    if (convolution := first_convolution(module)) is not None:
        below, conv = convolution
        filters = conv.weight.detach().numpy()
        # A filter set by hand is the same for every channel.
        sheet, shown = filter_sheet(filters[:1, :1] if architecture.role == FILTER else filters, _PANEL)
        panels.append((f"{'.'.join(filter(None, (layer, below)))}: {shown}", sheet))
    if architecture.role == FILTER and len(maps) == 3:
        panels.append((f"{layer}: the image, filtered", enlarge(_to_pixels(maps), _PANEL)))
    else:
        sheet, shown = map_sheet(maps, _PANEL if len(maps) == 1 else 2 * _PANEL)
        panels.append((f"{layer}: {shown}", sheet))
    return figure(panels)


def _normalised(image: Pixels, architecture: Architecture, channels: int) -> Tensor:
    """Convert uint8 [H, W, 3] to float32 [1, channels, H, W], normalised as the weights expect."""
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in architecture.pixels)
    x = (x - mean) / std
    return x if channels == 3 else x.mean(1, keepdim=True)


def _to_pixels(maps: npt.NDArray[np.float32]) -> Pixels:
    return (maps.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
