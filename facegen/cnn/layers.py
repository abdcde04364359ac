"""The basic layer of all networks: a convolution, its norm and its activation, in 1-D, 2-D, 3-D and transposed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from .shapes import Size, per_dimension, same_padding

#: A name from NORMS or ACTIVATIONS, a constructor, or None.
Norm = str | Callable[[int], nn.Module] | None
#: A normalisation of weights: ``"spectral"`` or None. A :data:`Norm` normalises activations.
WeightNorm = str | None
Activation = str | Callable[[], nn.Module] | None

CONVOLUTIONS: dict[int, Callable[..., _ConvNd]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., _ConvNd]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORMS: dict[int, type[_BatchNorm]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORMS: dict[int, type[nn.Module]] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "silu": lambda: nn.SiLU(inplace=True),
    "gelu": nn.GELU,
    "elu": lambda: nn.ELU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def make_norm(norm: Norm, channels: int, dims: int = 2) -> nn.Module | None:
    """Build a normalisation of activations [B, C, ...] with ``channels`` channels.

    Args:
        norm: ``"batch"`` (Ioffe and Szegedy, arXiv:1502.03167), ``"instance"`` (Ulyanov et al., arXiv:1607.08022),
            ``"group"`` (Wu and He, arXiv:1803.08494; 32 groups, fewer where they do not divide), ``"layer"`` (Ba et
            al., arXiv:1607.06450; over channels and positions, which is one group), a constructor that takes the
            number of channels, or None. For weights, see :func:`normalise_weight`.
        dims: Number of spatial dimensions: 1, 2 or 3.

    Raises:
        ValueError: An unknown name.
    """
    if norm is None:
        return None
    if callable(norm):
        return norm(channels)
    if norm == "batch":
        return _BATCH_NORMS[dims](channels)
    if norm == "instance":
        return _INSTANCE_NORMS[dims](channels, affine=True)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    if norm == "group":
        groups = max(count for count in range(1, min(32, channels) + 1) if channels % count == 0)
        return nn.GroupNorm(groups, channels)
    raise ValueError(f"unknown norm {norm!r}: batch, layer, instance, group or None")


def normalise_weight(layer: nn.Module, weight_norm: WeightNorm) -> nn.Module:
    """Normalise the weight of ``layer`` from now on at each use, and return the layer.

    Args:
        weight_norm: ``"spectral"`` divides the weight by its largest singular value (Miyato et al., arXiv:1802.05957,
            equation 8), A power iteration estimates it, and each forward pass in training mode improves the estimate.
            It starts from the present weight, so initialise the layer first. None changes nothing.

    Raises:
        ValueError: An unknown name.
    """
    if weight_norm not in ("spectral", None):
        raise ValueError(f"unknown weight norm {weight_norm!r}: spectral or None")
    return spectral_norm(layer) if weight_norm == "spectral" else layer


def normalise_weights(network: nn.Module, weight_norm: WeightNorm) -> None:
    """Apply :func:`normalise_weight` to every convolution and linear layer in ``network``, in place.

    Layers whose weight is normalised already are skipped. So are layers that only scale each channel, because their
    weight is not a matrix.
    """
    for layer in [*network.modules()]:
        is_plain = isinstance(layer, (_ConvNd, nn.Linear)) and not is_parametrized(layer, "weight")
        if is_plain and layer.get_parameter("weight")[0].numel() > 1:
            normalise_weight(layer, weight_norm)


def make_activation(activation: Activation) -> nn.Module | None:
    """Build an activation from a name (a key of ``ACTIVATIONS``), a constructor or None. ValueError for other names."""
    if activation is None or callable(activation):
        return activation() if activation else None
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}: {', '.join(ACTIVATIONS)} or None")
    return ACTIVATIONS[activation]()


class ConvNormAct(nn.Sequential):
    """Convolution → norm → activation, as children ``conv``, ``norm`` and ``act`` (absent if None).

    Args:
        in_channels, out_channels: Channels of the input and the output [B, C, ...].
        kernel_size: One number for all dimensions, or a sequence.
        stride, dilation, groups: As in torch's convolution.
        padding: Padding in pixels. None keeps the size at stride 1, which requires an odd kernel.
        norm: The norm, see :func:`make_norm`. A batch or instance norm would subtract a bias again, so the
            convolution has a bias only without a norm, unless ``bias`` says otherwise.
        weight_norm: The weight norm of the convolution, see :func:`normalise_weight`.
        activation: The activation, see :func:`make_activation`.
        dims: Number of spatial dimensions: 1 (sentences, time series), 2 (images) or 3 (video, CT).
        transposed: Use the transposed ("fractionally strided") convolution, which upsamples by its stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        *,
        stride: Size = 1,
        padding: Size | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        norm: Norm = "batch",
        weight_norm: WeightNorm = None,
        activation: Activation = "relu",
        dims: int = 2,
        transposed: bool = False,
    ) -> None:
        if padding is None:
            padding = tuple(same_padding(kernel, dilation=dilation) for kernel in per_dimension(kernel_size, dims))
        convolution = (TRANSPOSED if transposed else CONVOLUTIONS)[dims]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        conv = convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        layers["conv"] = normalise_weight(conv, weight_norm)
        if (layer := make_norm(norm, out_channels, dims)) is not None:
            layers["norm"] = layer
        if (layer := make_activation(activation)) is not None:
            layers["act"] = layer
        super().__init__(layers)


class Concat(nn.Module):
    """Parallel branches of one input whose outputs are concatenated along the channels, as in inception modules."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)
