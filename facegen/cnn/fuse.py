"""Folding BatchNorm into the convolution before it: the same function at test time, with one layer less."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def _foldable(conv: nn.Module, norm: nn.Module) -> bool:
    # A transposed convolution's channels lie elsewhere in its weight; none here is ever folded.
    return isinstance(conv, _ConvNd) and not conv.transposed and isinstance(norm, _BatchNorm)


def fold_batch_norm(conv: _ConvNd, norm: _BatchNorm) -> _ConvNd:
    """A convolution equal to ``norm(conv(x))`` in eval mode.

    With running mean μ and variance σ², scale γ and shift β: W' = Wγ/√(σ²+ε), b' = (b − μ)γ/√(σ²+ε) + β (Ioffe and
    Szegedy, arXiv:1502.03167, algorithm 2 line 11). Computed in float64, so that only the result is rounded.

    Raises:
        ValueError: training mode, where the statistics are the batch's and nothing can be folded; a norm without
            running statistics; or layers that are not a convolution and a BatchNorm.
    """
    if not _foldable(conv, norm):
        raise ValueError(f"cannot fold {type(norm).__name__} into {type(conv).__name__}")
    if conv.training or norm.training:
        raise ValueError("BatchNorm can be folded in eval mode only: call .eval() first")
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this BatchNorm keeps no running statistics, so there is nothing to fold")
    with torch.no_grad():
        scale = 1.0 / torch.sqrt(norm.running_var.double() + norm.eps)
        if norm.affine:
            scale = scale * norm.weight.double()
        bias = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
        bias = bias * scale
        if norm.affine:
            bias = bias + norm.bias.double()
        folded = copy.deepcopy(conv)
        weight = conv.weight.double() * scale.reshape(-1, *[1] * (conv.weight.ndim - 1))
        folded.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
        folded.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
    return folded


def fuse(network: nn.Module) -> nn.Module:
    """A copy of ``network`` with every BatchNorm that directly follows a convolution folded into it.

    "Follows" means the next child of the same parent, which is how ``ConvNormAct`` and torchvision's networks lay
    them out: parents that run their children in another order must not be given to this function.

    Raises:
        ValueError: ``network`` is in training mode.
    """
    if network.training:
        raise ValueError("BatchNorm can be folded in eval mode only: call .eval() first")
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if _foldable(conv, norm):
                assert isinstance(conv, _ConvNd) and isinstance(norm, _BatchNorm)
                setattr(parent, conv_name, fold_batch_norm(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return network
