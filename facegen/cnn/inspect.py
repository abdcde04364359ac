"""Inspection of a network: its table of layers, its filters and its feature maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.padding import _ConstantPadNd
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._pytree import tree_leaves

from .fields import FieldTracer, Operation, Padding
from .layers import ConvNormAct
from .shapes import activation_bytes

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
#: Layers that a table omits: they compute nothing at test time, or only change the shape. Padding before a
#: convolution is part of its row.
_SILENT = (nn.Identity, _DropoutNd, _ConstantPadNd, nn.Flatten, nn.Unflatten)


@dataclass(frozen=True)
class LayerRow:
    """One executed layer, with the norm and the activation that directly follow it.

    Attributes:
        name: Name of the module. For the convolution in a ``ConvNormAct``, the name of the latter.
        kind: Class of the module, such as ``"Conv2d"``.
        norm, activation: Classes of the norm and the activation that follow, or None.
        kernel, stride: One entry per dimension. None if the layer has none.
        padding: One entry per dimension; (before, after) if the sides differ. Zeros that were padded just before the
            layer are included.
        output: Shape without the batch dimension.
        receptive_field: Pixels of the input that one unit depends on, one entry per axis. It includes padding, so it
            can be larger than the input. After a global pooling, a flatten or a linear layer it is the field of the
            whole map. It is empty without positions, as in a generator.
        parameters: Parameters of the layer, its norm and its activation. Those shared with an earlier row are not
            counted again.
        macs: Multiply-adds for one input, in convolutions and linear layers.
        activation_bytes: float32 memory that training keeps for one input: the outputs of the layer and its norm, and
            of the activation if it does not work in place.
    """

    name: str
    kind: str
    norm: str | None
    activation: str | None
    kernel: tuple[int, ...] | None
    stride: tuple[int, ...] | None
    padding: Padding | None
    output: tuple[int, ...]
    receptive_field: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int


def layer_table(network: nn.Module, x: Tensor) -> list[LayerRow]:
    """Return the layers of any network in the order in which they run on the batch ``x``, without computing anything.

    The network runs on the meta device in its present mode (``eval()`` leaves out auxiliary heads), and does not
    change. Layers that do not run have no row. Neither have sums, concatenations, dropout and reshaping.

    Raises:
        ValueError: ``x`` does not fit the network. The message names the layer and shows the arithmetic.
    """
    recorder = _Recorder(network, x.to("meta"))
    tensors = {name: tensor.to("meta") for name, tensor in chain(network.named_parameters(), network.named_buffers())}
    with ExitStack() as hooks:
        for name, layer in _layers(network):
            hooks.callback(layer.register_forward_pre_hook(recorder.before(name)).remove)
            hooks.callback(layer.register_forward_hook(recorder.after(name)).remove)
        with recorder.tracer, torch.no_grad():
            try:
                functional_call(network, tensors, (recorder.x,))
            except (ValueError, RuntimeError) as problem:
                where = f"at {recorder.current}, " if recorder.current else ""
                raise ValueError(f"{where}{str(problem).splitlines()[0]}") from problem
    return recorder.rows


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Return the modules that compute: those without children other than a parametrisation of their weight."""
    for name, module in network.named_modules():
        if "parametrizations" not in name and (is_parametrized(module) or not any(module.children())):
            yield name, module


class _Recorder:
    """Makes a row for every layer that runs, from its hooks and from what the tracer recorded in between."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.x = x
        self.tracer = FieldTracer(x)
        self.rows: list[LayerRow] = []
        self.current = ""
        self._given = (0, 0)
        # By the layer's output, which the tracer keeps alive. A later in-place sum would change it.
        self._row_of: dict[tuple[int, int], int] = {}
        self._display = {
            f"{name}.conv" if name else "conv": name
            for name, module in network.named_modules()
            if isinstance(module, ConvNormAct)
        }
        self._parameters: dict[str, int] = {}
        seen: set[int] = set()
        for name, layer in _layers(network):
            own = {id(parameter): parameter.numel() for parameter in layer.parameters()}
            self._parameters[name] = sum(count for key, count in own.items() if key not in seen)
            seen |= set(own)

    def before(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.current = name
            self._given = (id(inputs[0]), inputs[0]._version)
            self.tracer.operation = Operation()

        return hook

    def after(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            out = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
            if out is None or isinstance(module, _SILENT):
                return
            kept = 0 if out is inputs[0] else activation_bytes([out.shape[1:]])
            parameters = self._parameters[name]
            self._parameters[name] = 0
            index = self._row_of.get(self._given, -1)
            source = self.rows[index] if index >= 0 else None
            kind = type(module).__name__
            is_activation = type(module).__module__ == nn.ReLU.__module__
            is_norm = isinstance(module, _NORMS)
            follows = ""
            if is_activation and source and source.activation is None:
                follows = "activation"
            elif is_norm and source and source.norm is None and source.activation is None and source.macs:
                follows = "norm"
            elif is_activation and not parameters:
                return
            if source and follows:
                row = replace(source, norm=kind) if follows == "norm" else replace(source, activation=kind)
                self.rows[index] = replace(
                    row, parameters=row.parameters + parameters, activation_bytes=row.activation_bytes + kept
                )
            else:
                index = len(self.rows)
                self.rows.append(self._row(name, module, out, parameters, kept))
            self._row_of[id(out), out._version] = index

        return hook

    def _row(self, name: str, module: nn.Module, out: Tensor, parameters: int, kept: int) -> LayerRow:
        kind = type(module).__bases__[0].__name__ if is_parametrized(module) else type(module).__name__
        operation = self.tracer.operation
        return LayerRow(
            name=self._display.get(name, name),
            kind=kind,
            norm=None,
            activation=None,
            kernel=operation.kernel,
            stride=operation.stride,
            padding=operation.padding,
            output=tuple(out.shape[1:]),
            receptive_field=self.tracer.field(out),
            parameters=parameters,
            macs=operation.macs,
            activation_bytes=kept,
        )


def find_layer(network: nn.Module, name: str) -> tuple[str, nn.Module]:
    """Return the module of a name. A leading ``features.`` may be omitted. ValueError suggests similar names."""
    modules = dict(network.named_modules())
    for candidate in (name, f"features.{name}"):
        if candidate and candidate in modules:
            return candidate, modules[candidate]
    short = [known.removeprefix("features.") for known in modules if known]
    near = get_close_matches(name, [*short, *modules], n=3, cutoff=0.4) or short[:8]
    raise ValueError(f"there is no layer {name!r}; there are {', '.join(near)}")


def first_convolution(network: nn.Module) -> tuple[str, _ConvNd] | None:
    """Return the first convolution inside ``network`` with its name. None if there is none."""
    found = ((name, module) for name, module in network.named_modules() if isinstance(module, _ConvNd))
    return next(found, None)


def feature_maps(network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """Return the output of ``layer``, a module of ``network``, for the batch ``x``: [B, K, ...], in its present mode.

    Raises:
        ValueError: The layer does not run, or its output has no positions.
    """
    seen: list[Tensor] = []
    # A copy, because an activation may overwrite it in place.
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    try:
        with torch.no_grad():
            network(x)
    finally:
        handle.remove()
    if not seen:
        raise ValueError("this layer does not run at test time")
    if seen[0].ndim < 3:
        raise ValueError(f"this layer puts out {seen[0][0].numel():,} values without positions, not maps")
    return seen[0]
