"""Frozen networks, whose features are the input of Projected GAN's discriminators (arXiv:2111.01007)."""

from __future__ import annotations

import copy
import math
from collections import Counter, OrderedDict
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from .autocast import without_autocast
from .efficientnet_lite import StridedConv
from .fuse import fuse

#: Ceilings of the activations that a frozen convolution applies itself: min(max(x, 0), ceiling).
CEILINGS: dict[type[nn.Module], float] = {nn.ReLU6: 6.0, nn.ReLU: math.inf}


def freeze(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a copy of ``network`` in eval mode without parameters to train or save. Gradients still reach its input.

    BatchNorm is folded (:func:`.fuse`). Each ``nn.Conv2d`` becomes a :class:`FrozenConv2d`, which includes the ReLU
    or ReLU6 that follows it in an ``nn.Sequential`` (an ``nn.Identity`` takes its place) and the padding of a
    ``StridedConv``. Other layers keep their forward. So does a convolution that has hooks, is a subclass of torch's,
    or does not pad with a number of zeros.

    All weights become buffers in ``dtype``, except those of a BatchNorm that could not be folded. ``.to(device)``
    moves them, but ``parameters()`` and ``state_dict()`` do not list them, so no optimizer, moving average or
    checkpoint includes them. ``train()`` has no effect.

    Raises:
        ValueError: The output of a layer is not fixed, or its weights cannot be replaced by buffers: a BatchNorm
            without running statistics, a recurrent layer or a lazy layer.
    """
    for name, layer in network.named_modules():
        batchwise = isinstance(layer, _BatchNorm) and layer.running_mean is None
        if batchwise or isinstance(layer, (nn.RNNBase, LazyModuleMixin)):
            where = f" {name!r}" if name else ""
            raise ValueError(f"cannot freeze {type(layer).__name__}{where}: its weights or statistics are not fixed")
    network = fuse(copy.deepcopy(network).eval())
    for layer in list(network.modules()):
        if is_parametrized(layer):
            _remove_parametrizations(layer)
    registered = Counter(child for parent in network.modules() for child in parent._modules.values())
    shared = {layer for layer, places in registered.items() if places > 1}
    network = _frozen(network, dtype, shared, {})
    for layer in network.modules():
        _fix(layer, dtype)
    return network


def _frozen(
    layer: nn.Module, dtype: torch.dtype, shared: set[nn.Module | None], done: dict[nn.Module, nn.Module]
) -> nn.Module:
    """Return the replacement of ``layer``.

    ``done`` ensures that it is the same at all places where the layer is registered.
    """
    if layer in done:
        return done[layer]
    if type(layer) is nn.Conv2d and not _hooked(layer) and layer.padding_mode == "zeros":
        done[layer] = layer if isinstance(layer.padding, str) else FrozenConv2d(layer, dtype)
        return done[layer]
    done[layer] = layer
    strided = layer.conv if type(layer) is StridedConv and not _hooked(layer) else None
    ordered = type(layer).forward in (nn.Sequential.forward, StridedConv.forward)
    before: nn.Module | None = None  # the layer whose output is the input of the next child
    for name, child in layer._modules.items():
        if child is None:
            continue
        frozen = layer._modules[name] = _frozen(child, dtype, shared, done)
        if isinstance(before, FrozenConv2d) and type(child) in CEILINGS and not _hooked(child):
            before.ceiling = CEILINGS[type(child)]
            layer._modules[name] = nn.Identity()
        if ordered and (type(child) is not nn.Identity or _hooked(child)):
            before = None if child in shared else frozen
    frozen_conv = getattr(layer, "conv", None)
    odd = isinstance(strided, nn.Conv2d) and all(size % 2 for size in strided.kernel_size)
    if isinstance(strided, nn.Conv2d) and isinstance(frozen_conv, FrozenConv2d) and odd and strided not in shared:
        layer.conv = FrozenConv2d(strided, dtype, ceiling=frozen_conv.ceiling, same=True)
        done[layer] = nn.Sequential(OrderedDict(layer._modules))  # type: ignore[arg-type]
    return done[layer]


def _remove_parametrizations(layer: nn.Module) -> None:
    """Remove parametrizations. torch's own function would also affect the original, which shares the class."""
    assert isinstance(layer.parametrizations, nn.ModuleDict)
    values = {name: getattr(layer, name).detach() for name in layer.parametrizations}
    plain = type_before_parametrizations(layer)
    del layer.parametrizations
    layer.__class__ = plain
    for name, value in values.items():
        layer.register_buffer(name, value)


def _hooked(layer: nn.Module) -> bool:
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))


def _fix(layer: nn.Module, dtype: torch.dtype) -> None:
    """Turn the parameters and buffers of ``layer`` (not of its children) into unsaved buffers, and fix eval mode."""
    tensors = {**layer._parameters, **layer._buffers}
    layer._parameters.clear()
    for name, tensor in tensors.items():
        if tensor is not None:
            tensor = tensor.detach()
            if tensor.is_floating_point() and not isinstance(layer, _BatchNorm):
                tensor = tensor.to(dtype)
        layer._buffers.pop(name, None)
        layer.register_buffer(name, tensor, persistent=False)
    layer.eval()
    layer.train = MethodType(_stay, layer)  # type: ignore[method-assign]


def _stay(layer: nn.Module, mode: bool = True) -> nn.Module:
    """Do nothing: the ``train`` of a frozen layer."""
    return layer


class FrozenConv2d(nn.Module):
    """A convolution with fixed weights, optionally with its ReLU, and with a fast gradient of its input.

    [B, C, H, W] → [B, K, H', W'], computed in the weights' dtype (even under autocast) and in channels_last (except
    on Apple GPUs). The gradient has the input's dtype. It can be differentiated once, and not by torch.func (torch
    raises). The fastest known method is used for each case:

    - the gradient of a depthwise convolution on a CPU is a forward convolution of the output's gradient with the
      flipped kernel; strides are filled with zeros. oneDNN's own gradient takes twice as long in bfloat16, and 20 to
      50 times as long with a stride. In float32 with a stride it is faster, and is used.
    - a 1×1 convolution of few positions on a CPU is a matrix product, forward and backward. oneDNN's convolution
      reorders its weights at each call, which takes longer than the product.
    - everything else is torch's own convolution.

    oneDNN's clip turns NaN into a number. On a CPU a ceiling therefore hides NaNs in the input.

    Args:
        conv: A convolution with zero padding by a number of pixels. ValueError for other padding.
        dtype: Dtype of the weights and the arithmetic.
        ceiling: Ceiling of the activation min(max(x, 0), ceiling) that follows. None for no activation.
        same: Pad as TensorFlow's ``"SAME"`` at stride 2 (see ``StridedConv``) and ignore the padding of ``conv``.
    """

    weight: Tensor
    turned: Tensor | None
    bias: Tensor | None

    def __init__(
        self, conv: nn.Conv2d, dtype: torch.dtype = torch.float32, *, ceiling: float | None = None, same: bool = False
    ) -> None:
        super().__init__()
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise ValueError(f"cannot freeze a convolution that pads with {conv.padding_mode!r} by {conv.padding!r}")
        weight = conv.weight.detach().to(dtype, memory_format=torch.channels_last, copy=True)
        depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.dilation == (1, 1)
        turned = weight.flip(2, 3).contiguous(memory_format=torch.channels_last) if depthwise else None
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("turned", turned, persistent=False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().to(dtype), persistent=False)
        self.kernel, self.stride, self.dilation, self.groups = weight.shape[2:], conv.stride, conv.dilation, conv.groups
        self.padding = tuple(size // 2 for size in self.kernel) if same else conv.padding
        self.ceiling, self.same = ceiling, same

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Convolution.apply(x.to(self.weight.dtype).contiguous(memory_format=_layout(x)), self)
        return y

    def extra_repr(self) -> str:
        channels, per_group, *kernel = self.weight.shape
        padding = "same" if self.same else self.padding
        return (
            f"{per_group * self.groups}, {channels}, kernel_size={tuple(kernel)}, stride={self.stride}, "
            f"padding={padding}, groups={self.groups}, ceiling={self.ceiling}, dtype={self.weight.dtype}"
        )

    def _shift(self, size: torch.Size) -> tuple[int, int]:
        """Return by how many pixels the windows start later than ``padding`` says, for an input of ``size`` [.., H, W].

        For an even size, TensorFlow pads the start by one pixel less than the end.
        """
        height, width = (int(self.same and n % 2 == 0 and k > 1) for n, k in zip(size[2:], self.kernel, strict=True))
        return height, width

    def _shifted_weight(self, size: torch.Size) -> Tensor:
        """Return the kernel with as many rows and columns of zeros in front."""
        weight = self.weight
        if weight.device.type == "mps":
            # On an Apple GPU a convolution is in channels_last if its weight is. contiguous() would not help: a 1×1
            # kernel is contiguous in both formats.
            weight = weight.to(memory_format=torch.contiguous_format)
        height, width = self._shift(size) if self.same else (0, 0)
        return F.pad(weight, (width, 0, height, 0)) if height or width else weight

    def _convolve(self, x: Tensor) -> Tensor:
        weight = self._shifted_weight(x.shape)
        if not _is_onednn(x):
            y = F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
            return y if self.ceiling is None else y.clamp_(0.0, self.ceiling)
        if self._is_matrix(x):
            return _product(x, weight.flatten(1), self.bias, self.ceiling)
        return _onednn(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups, self.ceiling)

    def _input_gradient(self, gradient: Tensor, size: torch.Size) -> Tensor:
        if _is_onednn(gradient):
            if self._is_matrix(gradient):
                return _product(gradient, self.weight.flatten(1).t())
            margin = tuple(k - 1 - padding for k, padding in zip(self.kernel, self.padding, strict=True))
            strided = self.stride != (1, 1)
            slow = strided and gradient.dtype == torch.float32
            if self.turned is not None and min(margin) >= 0 and not slow:
                if strided:
                    sides = [n + k - 1 - 2 * m for n, k, m in zip(size[2:], self.kernel, margin, strict=True)]
                    gradient = _zero_stuffed(gradient, sides, self.stride, self._shift(size))
                return _onednn(gradient, self.turned, None, (1, 1), margin, (1, 1), self.groups)
        # Only its shape and layout are used.
        x = torch.empty(size, dtype=gradient.dtype, device=gradient.device, memory_format=_layout(gradient))
        weight, geometry = self._shifted_weight(size), (self.stride, self.padding, self.dilation)
        backward = torch.ops.aten.convolution_backward
        return backward(gradient, x, weight, None, *geometry, False, (0, 0), self.groups, (True, False, False))[0]

    def _is_matrix(self, x: Tensor) -> bool:
        pointwise = self.kernel == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1
        return pointwise and x.shape[2] * x.shape[3] <= 64


class _Convolution(torch.autograd.Function):
    # setup_context, which torch.func needs, would make each call 20 µs slower, and EfficientNet has 50 convolutions.
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenConv2d) -> Tensor:
        with without_autocast(x.device):
            y = layer._convolve(x)
        ctx.layer, ctx.size = layer, x.shape
        if layer.ceiling is not None:
            ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous(memory_format=_layout(gradient))
        for y in ctx.saved_tensors:
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, ctx.layer.ceiling)
        with without_autocast(gradient.device):
            return ctx.layer._input_gradient(gradient, ctx.size), None


def _layout(x: Tensor) -> torch.memory_format:
    """Return channels_last, or torch's default on Apple GPUs.

    Not all of their operators support channels_last (pytorch/pytorch issue 175189).
    """
    return torch.contiguous_format if x.device.type == "mps" else torch.channels_last


def _is_onednn(x: Tensor) -> bool:
    """Return whether oneDNN computes with ``x``: on CPUs in float32, and in bfloat16 if the CPU supports it."""
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _post(ceiling: float | None) -> tuple[str, list[float], str]:
    """Return oneDNN's name of the activation, which it applies while the sums are in registers."""
    return ("none", [], "") if ceiling is None else ("hardtanh", [0.0, ceiling], "")


def _onednn(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    ceiling: float | None = None,
) -> Tensor:
    geometry = (padding, stride, dilation, groups)
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *geometry, *_post(ceiling))
    return y


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, ceiling: float | None = None) -> Tensor:
    """Compute the 1×1 convolution with ``weight`` [K, C]."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x.permute(0, 2, 3, 1), weight, bias, *_post(ceiling))
    # As data, because autograd forbids in-place operations on a view that a Function returns.
    return y.permute(0, 3, 1, 2).data


def _zero_stuffed(x: Tensor, sides: list[int], stride: tuple[int, ...], offset: tuple[int, ...]) -> Tensor:
    """Return [B, C, *sides] of zeros with the pixels of ``x`` placed ``stride`` apart, starting at ``offset``."""
    shape = (*x.shape[:2], *sides)
    stuffed = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).zero_()
    rows, columns = (slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, x.shape[2:], stride, strict=True))
    stuffed[:, :, rows, columns] = x
    return stuffed
