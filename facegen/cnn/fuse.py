"""Folds BatchNorm into the convolution before it, which gives the same function at test time with one layer less."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.fx import Tracer
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import type_before_parametrizations

#: torch's own convolutions, because it is known how they use their weight.
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def fold_batch_norm(conv: _ConvNd, norm: _BatchNorm) -> _ConvNd:
    """Return a convolution, transposed or not, that equals ``norm(conv(x))`` in eval mode.

    With running mean μ and variance σ², scale γ and shift β: W' = Wγ/√(σ²+ε), b' = (b − μ)γ/√(σ²+ε) + β (Ioffe and
    Szegedy, arXiv:1502.03167, algorithm 2 line 11). This is computed in float64, so that only the result is rounded.
    If the weight is parametrized (spectral norm), its value is folded and the parametrization is dropped.

    Raises:
        ValueError: The layers are in training mode, where the statistics are those of the batch; the norm has no
            running statistics; or the layers are not a convolution and a BatchNorm.
    """
    if type_before_parametrizations(conv) not in CONVOLUTIONS or not isinstance(norm, _BatchNorm):
        raise ValueError(f"cannot fold {type(norm).__name__} into {type(conv).__name__}")
    if conv.training or norm.training:
        raise ValueError("BatchNorm can be folded in eval mode only: call .eval() first")
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this BatchNorm keeps no running statistics, so there is nothing to fold")
    with torch.no_grad():
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double()
        if conv.bias is not None:
            shift = shift + conv.bias.double()
        if norm.affine:
            scale = scale * norm.weight.double()
        shift = shift * scale
        if norm.affine:
            shift = shift + norm.bias.double()
        weight = conv.weight
        # Output channels are the first dimension of a group's weight, and the second for a transposed convolution.
        channels = (1, -1) if conv.transposed else (-1, 1)
        scale = scale.reshape(conv.groups, *channels, *[1] * len(conv.kernel_size))
        scaled = (weight.double().unflatten(0, (conv.groups, -1)) * scale).flatten(0, 1)
    folded: _ConvNd = type_before_parametrizations(conv)(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        padding_mode=conv.padding_mode,
        device="meta",  # its parameters are set below
        **({"output_padding": conv.output_padding} if conv.transposed else {}),
    )
    folded.weight = nn.Parameter(scaled.to(weight.dtype), requires_grad=weight.requires_grad)
    folded.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=weight.requires_grad)
    return folded.eval()


def fuse(network: nn.Module) -> nn.Module:
    """Return a copy of ``network`` in which every BatchNorm that directly follows a convolution is folded into it.

    The order of layers is that of an ``nn.Sequential``, or of the torch.fx graph of any other parent's ``forward``,
    which must call both layers. A BatchNorm is kept if folding would change the output: the convolution's output has
    other uses; either layer is called or registered more than once or has hooks; the norm has no running statistics;
    the convolution is a subclass of torch's; or ``forward`` cannot be traced.

    Raises:
        ValueError: ``network`` or a layer to fold is in training mode.
    """
    if network.training:
        raise ValueError("BatchNorm can be folded in eval mode only: call .eval() first")
    network = copy.deepcopy(network)
    registered = Counter(child for parent in network.modules() for child in parent._modules.values())
    for parent in list(network.modules()):
        pairs = _pairs_of_sequential(parent) if isinstance(parent, nn.Sequential) else _pairs_of_graph(parent)
        for conv_name, norm_name in list(pairs):
            conv, norm = parent.get_submodule(conv_name), parent.get_submodule(norm_name)
            if _foldable(conv, norm) and registered[conv] == registered[norm] == 1:
                assert isinstance(conv, _ConvNd) and isinstance(norm, _BatchNorm)
                setattr(parent, conv_name, fold_batch_norm(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return network


def _foldable(conv: nn.Module, norm: nn.Module) -> bool:
    if type_before_parametrizations(conv) not in CONVOLUTIONS or not isinstance(norm, _BatchNorm):
        return False
    # A hook may read or change the weight, or the values between the two layers.
    hooked = any(layer._forward_hooks or layer._forward_pre_hooks for layer in (conv, norm))
    return norm.running_mean is not None and not hooked


def _pairs_of_sequential(parent: nn.Sequential) -> Iterator[tuple[str, str]]:
    # named_children would skip a module that it has seen, such as an activation that is used in two places.
    return pairwise(parent._modules)


def _pairs_of_graph(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Return pairs of children where the output of the first is used by the second and nothing else."""
    if not any(isinstance(child, _BatchNorm) for child in parent.children()):
        return
    try:
        graph = _OwnForward().trace(parent)
    except Exception:  # noqa: BLE001 - mostly control flow that depends on the input; whatever it is, the norms stay
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    children = {name for name, _ in parent.named_children()}
    for node in graph.nodes:
        before, *others = node.all_input_nodes or [node]
        known = not others and {before.target, node.target} <= children
        if known and len(before.users) == calls[before.target] == calls[node.target] == 1:
            yield before.target, node.target


class _OwnForward(Tracer):
    """Traces how a module calls its children, without tracing into them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True
