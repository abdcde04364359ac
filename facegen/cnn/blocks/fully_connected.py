"""The three fully connected layers at the end of networks older than global pooling."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class FullyConnected(nn.Sequential):
    """Linear → ReLU → dropout twice, then a linear layer, as children ``fc6`` to ``fc8``. Part of AlexNet, VGG and C3D.

    Krizhevsky, Sutskever and Hinton 2012, sections 3.5 and 4.2. [B, C] → [B, classes].

    Args:
        hidden: Number of outputs of fc6 and of fc7.
        dropout: Dropout probability after fc6 and after fc7.
    """

    def __init__(self, in_channels: int, hidden: int, classes: int, *, dropout: float = 0.5) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for name, channels in (("6", in_channels), ("7", hidden)):
            layers[f"fc{name}"] = nn.Linear(channels, hidden)
            layers[f"act{name}"] = nn.ReLU(inplace=True)
            layers[f"drop{name}"] = nn.Dropout(dropout)
        layers["fc8"] = nn.Linear(hidden, classes)
        super().__init__(layers)
