"""A network laid open: its table of layers, and the filters and feature maps to look at."""

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
#: Layers that no table shows: they compute nothing at test time, or only change the shape. (A convolution's row has
#: the zeros padded before it.)
_SILENT = (nn.Identity, _DropoutNd, _ConstantPadNd, nn.Flatten, nn.Unflatten)


@dataclass(frozen=True)
class LayerRow:
    """One layer as it ran, with the norm and the activation that directly follow it.

    Attributes:
        name: of the module; of its ``ConvNormAct`` where it is the convolution in one.
        kind: the module's class, ``"Conv2d"`` say.
        norm, activation: the classes of what follows, or None.
        kernel, stride: one entry a dimension; None where the layer has none.
        padding: likewise, (before, after) where the sides differ. Zeros that were padded just before are counted.
        output: shape without the batch.
        receptive_field: pixels of the input that one unit sees, an entry an axis, padding included: it can be larger
            than the input. Behind a global pooling, a flatten or a linear layer, what the whole map sees. Empty for
            what sees no positions, as in a generator.
        parameters: of the layer, its norm and its activation; those shared with an earlier row are not counted again.
        macs: multiply-adds of one input in convolutions and linear layers.
        activation_bytes: float32 memory of what the layer and its norm put out for one input, which training keeps;
            of the activation too where it does not work in place.
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
    """The layers of any network in the order in which they run on ``x``, a batch; nothing is computed.

    The network runs on the meta device in the mode it is in (``eval()`` leaves out auxiliary heads) and is left as it
    was. Layers that did not run have no row; sums, concatenations, dropout and reshaping have none either.

    Raises:
        ValueError: the network cannot take ``x``; the message names the layer and shows the arithmetic.
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
    """The modules that compute: without children, or with none but a parametrisation of their weight."""
    for name, module in network.named_modules():
        if "parametrizations" not in name and (is_parametrized(module) or not any(module.children())):
            yield name, module


class _Recorder:
    """Makes a row of every layer that runs, from its hooks and what the tracer saw in between."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.x = x
        self.tracer = FieldTracer(x)
        self.rows: list[LayerRow] = []
        self.current = ""
        self._given = (0, 0)
        # By the output, which the tracer keeps alive, as the layer left it: a sum in place makes another of it.
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
    """The module of that name, where a leading ``features.`` may be left out; ValueError, with near names, for none."""
    modules = dict(network.named_modules())
    for candidate in (name, f"features.{name}"):
        if candidate and candidate in modules:
            return candidate, modules[candidate]
    short = [known.removeprefix("features.") for known in modules if known]
    near = get_close_matches(name, [*short, *modules], n=3, cutoff=0.4) or short[:8]
    raise ValueError(f"there is no layer {name!r}; there are {', '.join(near)}")


def first_convolution(network: nn.Module) -> tuple[str, _ConvNd] | None:
    """The first convolution inside, and its name below ``network``; None where there is none."""
    found = ((name, module) for name, module in network.named_modules() if isinstance(module, _ConvNd))
    return next(found, None)


def feature_maps(network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What ``layer``, a module of ``network``, puts out for the batch ``x``: [B, K, ...], in the mode it is in.

    Raises:
        ValueError: it does not run, or what it puts out has no positions.
    """
    seen: list[Tensor] = []
    # A copy: an activation may overwrite it in place afterwards.
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
