"""Initialisers of a whole network, in place."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def init_normal_(module: nn.Module, std: float = 0.02) -> None:
    """DCGAN's initialisation, in place: convolutions N(0, 0.02), no bias; BatchNorm scales N(1, 0.02), shifts 0.

    Radford et al., arXiv:1511.06434, section 4; the BatchNorm scales as in the authors' own code.
    """
    for layer in module.modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, _BatchNorm):
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)
