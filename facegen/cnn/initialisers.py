"""Initialisers of a whole network, in place."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod, sqrt

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized


def init_normal_(module: nn.Module, std: float = 0.02) -> None:
    """DCGAN's initialisation, in place: convolutions N(0, 0.02), no bias; BatchNorm scales N(1, 0.02), shifts 0.

    Radford et al., arXiv:1511.06434, section 4; the BatchNorm scales as in the authors' own code.
    """
    for _, weight in _weights(module):
        nn.init.normal_(weight, 0.0, std)
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)


def init_he_(module: nn.Module, *, fan: str = "out") -> None:
    """Weights N(0, 2/fan), biases 0, BatchNorm the identity, in place: keeps the variance through ReLUs.

    He et al., arXiv:1502.01852, equations 10 and 14.

    Args:
        fan: of convolutions. ``"out"`` keeps the gradients' variance, as ResNet's authors have it; ``"in"`` that of
            the activations. Linear layers take ``"in"`` always: one logit has a fan-out of 1, and would start wild.
    """
    for layer, weight in _weights(module):
        inputs, outputs = fans(layer)
        size = outputs if fan == "out" and isinstance(layer, _ConvNd) else inputs
        nn.init.normal_(weight, 0.0, sqrt(2 / size))


def init_xavier_(module: nn.Module) -> None:
    """Weights U(−a, a) with a = √(6/(fan-in + fan-out)), biases 0, BatchNorm the identity, in place: for tanh.

    Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks (AISTATS 2010),
    equation 16.
    """
    for layer, weight in _weights(module):
        bound = sqrt(6 / sum(fans(layer)))
        nn.init.uniform_(weight, -bound, bound)


def init_truncated_normal_(module: nn.Module, std: float) -> None:
    """Weights N(0, std²) cut off at two deviations, biases 0, BatchNorm the identity, in place: Inception's.

    TensorFlow's ``truncated_normal``, as its authors' code for arXiv:1409.4842 and arXiv:1512.00567 has it.
    """
    for _, weight in _weights(module):
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def init_lecun_(module: nn.Module) -> None:
    """Weights U(−2.4/F, 2.4/F) for a fan-in of F, biases 0, BatchNorm the identity, in place: LeNet-5's.

    LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition (1998), appendix A.
    """
    for layer, weight in _weights(module):
        bound = 2.4 / fans(layer)[0]
        nn.init.uniform_(weight, -bound, bound)


def fans(layer: _ConvNd | nn.Linear) -> tuple[int, int]:
    """How many inputs an output sums over, and how many outputs an input takes part in, at stride 1.

    Unlike torch's own count it is right for groups and for transposed convolutions too.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    positions = prod(layer.kernel_size)
    return positions * layer.in_channels // layer.groups, positions * layer.out_channels // layer.groups


def _weights(module: nn.Module) -> Iterator[tuple[_ConvNd | nn.Linear, Tensor]]:
    """Every convolution and linear layer with its weight; biases become 0 and BatchNorms the identity on the way."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_parameters()
        elif isinstance(layer, (_ConvNd, nn.Linear)):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            # Under spectral norm ``weight`` is computed anew each time, from the tensor that is learned.
            learned = "parametrizations.weight.original" if is_parametrized(layer, "weight") else "weight"
            yield layer, layer.get_parameter(learned)
