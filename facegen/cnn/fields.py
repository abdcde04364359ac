"""Receptive fields: the part of the input that each unit of a network depends on, traced through one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from .shapes import (
    ReceptiveField,
    Size,
    convolution_macs,
    output_shape,
    per_dimension,
    transposed_output_shape,
)

#: Padding per dimension: one number if both sides are equal, else (before, after).
Padding = tuple[int | tuple[int, int], ...]


@dataclass(frozen=True)
class Axis:
    """The receptive field along one axis of the input of the positions in dimension ``dim`` of a tensor.

    ``field`` is the field of position 0, and ``end`` is where the union of all fields ends. A stride of 0 means that
    every position depends on the whole axis.
    """

    dim: int
    end: int
    field: ReceptiveField

    def through(self, window: Window, positions: int) -> Axis:
        """Return the axis after a convolution or pooling with ``positions`` outputs."""
        field = self.field.through(window.kernel, stride=window.stride, padding=window.before, dilation=window.dilation)
        return Axis(self.dim, field.start + field.size + (positions - 1) * field.stride, field)

    def whole(self) -> Axis:
        """Return the axis after an operation in which every unit depends on all positions."""
        return replace(self, field=replace(self.field, size=self.end - self.field.start, stride=0))

    def union(self, other: Axis) -> Axis:
        """Return the axis of units that depend on one unit of each branch: a sum or concatenation."""
        one, two = self.field, other.field
        start, stop = min(one.start, two.start), max(one.start + one.size, two.start + two.size)
        field = ReceptiveField(stop - start, max(one.stride, two.stride), start)
        return Axis(self.dim, max(self.end, other.end), field)


@dataclass(frozen=True)
class Window:
    """The window of a convolution or pooling along one dimension. ``before`` and ``after`` are its zero padding."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1


@dataclass(frozen=True)
class Operation:
    """The operation of a layer: its windows, as a table shows them, and its multiply-adds for one input."""

    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    padding: Padding | None = None
    macs: int = 0


_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVERAGE_POOL = ("input", "kernel_size", "stride", "padding", "ceil_mode")
#: Functions that combine or move positions, with their parameters in order.
_SIGNATURES: dict[str, tuple[str, ...]] = {
    **{f"conv{dims}d": _CONVOLUTION for dims in (1, 2, 3)},
    **{f"conv_transpose{dims}d": _TRANSPOSED for dims in (1, 2, 3)},
    **{f"max_pool{dims}d": _MAX_POOL for dims in (1, 2, 3)},
    **{f"avg_pool{dims}d": _AVERAGE_POOL for dims in (1, 2, 3)},
    "linear": ("input", "weight"),
    "pad": ("input", "pad"),
    "transpose": ("input", "dim0", "dim1"),
    "permute": ("input", "dims"),
}


class FieldTracer(TorchFunctionMode):
    """Traces, while active, the receptive field of every tensor that is computed from ``x``.

    It knows convolutions, poolings, padding, transpositions, flattening, sums and concatenations. Any other operation
    that keeps a dimension's size is assumed to act on each position separately. One that changes the size is assumed
    to depend on all positions, which is an upper bound for transposed convolutions and interpolation. Tokens [B, L]
    and maps [B, C, ...] have positions. Vectors [B, D] have none, nor has anything computed from them.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        first = 2 if x.is_floating_point() else 1
        self._axes: dict[int, list[Axis]] = {}
        self._padded: dict[int, list[tuple[int, int]]] = {}
        self._alive: list[Tensor] = []  # keeps tensors alive, because an id is unique only while its tensor lives
        self._remember(x, [Axis(dim, x.shape[dim], ReceptiveField()) for dim in range(first, x.ndim)])
        self.operation = Operation()

    def field(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the receptive field: its size along each axis of the input. Empty for a tensor without positions."""
        return tuple(axis.field.size for axis in self._axes.get(id(tensor), ()))

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        call = {**dict(zip(_SIGNATURES.get(name, ()), args, strict=False)), **kwargs}
        # Checked before the call, because torch's message on a window that does not fit says less.
        windows = self._windows(name, call) if name in _SIGNATURES else None
        if name == "linear" and call["input"].shape[-1] != call["weight"].shape[1]:
            raise ValueError(f"a linear layer of {call['weight'].shape[1]:,} values gets {call['input'].shape[-1]:,}")
        sources = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and id(leaf) in self._axes]
        result = func(*args, **kwargs)
        for out in tree_leaves(result):
            if isinstance(out, Tensor) and sources:
                self._remember(out, reduce(_union, (self._carried(name, call, windows, x, out) for x in sources)))
                self._note(name, call, windows, out)
        return result

    def _remember(self, tensor: Tensor, axes: list[Axis]) -> None:
        self._axes[id(tensor)] = axes
        self._alive.append(tensor)

    def _windows(self, name: str, call: dict[str, Any]) -> list[Window] | None:
        """Return the windows of a convolution or pooling. ValueError, with the arithmetic, if one does not fit."""
        if not name.startswith(("conv", "max_pool", "avg_pool")):
            return None
        dims = int(name[-2])
        kernel = tuple(call["weight"].shape[2:]) if "weight" in call else call["kernel_size"]
        stride = call.get("stride") or (1 if "weight" in call else kernel)
        padding, dilation = call.get("padding", 0), call.get("dilation", 1)
        kernels, strides, dilations = (_each(value, dims) for value in (kernel, stride, dilation))
        if padding == "same":
            reaches = [dilation * (kernel - 1) for kernel, dilation in zip(kernels, dilations, strict=True)]
            sides = [(reach // 2, reach - reach // 2) for reach in reaches]
        else:
            sides = [(side, side) for side in _each(0 if padding == "valid" else padding, dims)]
        windows = [
            Window(kernel, stride, before, after, dilation)
            for kernel, stride, (before, after), dilation in zip(kernels, strides, sides, dilations, strict=True)
        ]
        if padding != "same":
            shape, befores = call["input"].shape[-dims:], [before for before, _ in sides]
            if name.startswith("conv_transpose"):
                extra = _each(call.get("output_padding", 0), dims)
                transposed_output_shape(
                    shape, kernels, stride=strides, padding=befores, output_padding=extra, dilation=dilations
                )
            else:
                ceil_mode = call.get("ceil_mode", False)
                output_shape(shape, kernels, stride=strides, padding=befores, dilation=dilations, ceil_mode=ceil_mode)
        return windows

    def _carried(
        self, name: str, call: dict[str, Any], windows: list[Window] | None, x: Tensor, out: Tensor
    ) -> list[Axis]:
        """Return the axes of ``x`` from the positions of ``out``."""
        axes = self._axes[id(x)]
        if name.startswith("adaptive"):
            windows = _adaptive_windows(x.shape, out.shape, int(name[-2]))
        if name == "pad":
            return self._behind_padding(axes, call["pad"], x.ndim)
        if name in ("transpose", "permute"):
            order = _order(name, call, x.ndim)
            return [replace(axis, dim=order.index(axis.dim)) for axis in axes]
        if windows is not None and not name.startswith("conv_transpose"):
            of_dim = dict(zip(range(x.ndim - len(windows), x.ndim), windows, strict=True))
            return [
                axis.through(of_dim[axis.dim], out.shape[axis.dim]) if axis.dim in of_dim else axis.whole()
                for axis in axes
            ]
        return [_kept(axis, x.shape, out.shape, mixed=x.ndim - 1 if name == "linear" else None) for axis in axes]

    def _behind_padding(self, axes: list[Axis], pad: Sequence[int], ndim: int) -> list[Axis]:
        sides = {ndim - 1 - index: (pad[2 * index], pad[2 * index + 1]) for index in range(len(pad) // 2)}
        moved = []
        for axis in axes:
            before, after = (side * axis.field.stride for side in sides.get(axis.dim, (0, 0)))
            field = replace(axis.field, start=axis.field.start - before)
            moved.append(Axis(axis.dim, axis.end + after, field))
        return moved

    def _note(self, name: str, call: dict[str, Any], windows: list[Window] | None, out: Tensor) -> None:
        """Record what a layer table shows of this call."""
        if name == "pad":
            pad = call["pad"]
            self._padded[id(out)] = [(pad[index], pad[index + 1]) for index in range(len(pad) - 2, -2, -2)]
        elif name == "linear":
            self.operation = Operation(macs=call["weight"].numel() * prod(out.shape[1:-1]))
        elif windows is not None:
            # Zeros that were padded before the layer, as in TensorFlow's networks, count as its padding.
            extra = self._padded.get(id(call["input"]), [])
            extra = [(0, 0)] * (len(windows) - len(extra)) + extra
            sides = [
                (window.before + before, window.after + after)
                for window, (before, after) in zip(windows, extra, strict=True)
            ]
            kernel = tuple(window.kernel for window in windows)
            macs = 0
            if "weight" in call:
                # A transposed convolution uses its weights once per position of its input.
                places = (call["input"] if name.startswith("conv_transpose") else out).shape[2:]
                groups = call.get("groups", 1)
                macs = convolution_macs(call["input"].shape[1], out.shape[1], kernel, places, groups=groups)
            self.operation = Operation(
                kernel,
                tuple(window.stride for window in windows),
                tuple(before if before == after else (before, after) for before, after in sides),
                macs,
            )


def _union(left: list[Axis], right: list[Axis]) -> list[Axis]:
    return [one.union(other) for one, other in zip(left, right, strict=True)] if left and right else left or right


def _each(value: Size, dims: int) -> tuple[int, ...]:
    # torch also accepts a sequence of one number for all dimensions.
    return per_dimension(value if isinstance(value, int) or len(value) > 1 else value[0], dims)


def _adaptive_windows(before: Sequence[int], after: Sequence[int], dims: int) -> list[Window] | None:
    """Return the windows of adaptive pooling if all of them have the same size."""
    pairs = list(zip(before[-dims:], after[-dims:], strict=True))
    return None if any(size % left for size, left in pairs) else [Window(size // n, size // n) for size, n in pairs]


def _order(name: str, call: dict[str, Any], ndim: int) -> list[int]:
    """Return, for each dimension of the output, the corresponding dimension of the input."""
    if name == "permute":
        return [dim % ndim for dim in call["dims"]]
    order = list(range(ndim))
    one, other = call["dim0"] % ndim, call["dim1"] % ndim
    order[one], order[other] = order[other], order[one]
    return order


def _kept(axis: Axis, before: Sequence[int], after: Sequence[int], *, mixed: int | None) -> Axis:
    """Return ``axis`` after a call that keeps its positions: the shape before or after its dimension is unchanged."""
    if axis.dim != mixed:
        if before[: axis.dim + 1] == after[: axis.dim + 1]:
            return axis
        place = axis.dim + len(after) - len(before)
        if place >= 0 and before[axis.dim :] == after[place:]:
            return replace(axis, dim=place)
    return axis.whole()
