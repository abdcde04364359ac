"""Initialise all weights of a network, in place."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod, sqrt

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized


def init_normal_(module: nn.Module, std: float = 0.02) -> None:
    """Initialise as DCGAN, in place: convolutions N(0, 0.02), biases 0; BatchNorm scales N(1, 0.02), shifts 0.

    Radford et al., arXiv:1511.06434, section 4; the BatchNorm scales as in the authors' own code.
    """
    for _, weight in _weights(module):
        nn.init.normal_(weight, 0.0, std)
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)


def init_he_(module: nn.Module, *, fan: str = "out") -> None:
    """Initialise as He, in place: weights N(0, 2/fan), biases 0, BatchNorm the identity. ReLUs keep the variance.

    He et al., arXiv:1502.01852, equations 10 and 14.

    Args:
        fan: The fan of convolutions. ``"out"`` keeps the variance of gradients, as for ResNet. ``"in"`` keeps the
            variance of activations. Linear layers always use ``"in"``: a single logit has a fan-out of 1, and would
            start far too large.
    """
    for layer, weight in _weights(module):
        inputs, outputs = fans(layer)
        size = outputs if fan == "out" and isinstance(layer, _ConvNd) else inputs
        nn.init.normal_(weight, 0.0, sqrt(2 / size))


def init_xavier_(module: nn.Module) -> None:
    """Initialise as Glorot, in place: weights U(−a, a) with a = √(6/(fan-in + fan-out)), biases 0. For tanh.

    Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks (AISTATS 2010),
    equation 16.
    """
    for layer, weight in _weights(module):
        bound = sqrt(6 / sum(fans(layer)))
        nn.init.uniform_(weight, -bound, bound)


def init_truncated_normal_(module: nn.Module, std: float) -> None:
    """Initialise as Inception, in place: weights N(0, std²) truncated at two standard deviations, biases 0.

    This is TensorFlow's ``truncated_normal``, as in the authors' code for arXiv:1409.4842 and arXiv:1512.00567.
    BatchNorm becomes the identity.
    """
    for _, weight in _weights(module):
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def init_lecun_(module: nn.Module) -> None:
    """Initialise as LeNet-5, in place: weights U(−2.4/F, 2.4/F) for a fan-in of F, biases 0, BatchNorm the identity.

    LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition (1998), appendix A.
    """
    for layer, weight in _weights(module):
        bound = 2.4 / fans(layer)[0]
        nn.init.uniform_(weight, -bound, bound)


def fans(layer: _ConvNd | nn.Linear) -> tuple[int, int]:
    """Return the fan-in (inputs that an output sums over) and the fan-out (outputs that use an input), at stride 1.

    Unlike torch's own function, this is also right for groups and for transposed convolutions.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    positions = prod(layer.kernel_size)
    return positions * layer.in_channels // layer.groups, positions * layer.out_channels // layer.groups


def _weights(module: nn.Module) -> Iterator[tuple[_ConvNd | nn.Linear, Tensor]]:
    """Yield every convolution and linear layer with its weight. Set biases to 0 and BatchNorms to the identity."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_parameters()
        elif isinstance(layer, (_ConvNd, nn.Linear)):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            # Under spectral norm, ``weight`` is computed from the learned tensor at each use.
            learned = "parametrizations.weight.original" if is_parametrized(layer, "weight") else "weight"
            yield layer, layer.get_parameter(learned)
