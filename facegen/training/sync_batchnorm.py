"""BatchNorm over the images of all ranks, so that the statistics are those of the global batch.

torch's own SyncBatchNorm does not accept CPU tensors, and it waits for the device in every forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks' tensors.

    Every rank's loss depends on the sum, so the gradient is the sum of the ranks' gradients.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _SumOverRanks.apply(gradient)


class SyncBatchNorm(_BatchNorm):
    """BatchNorm with the statistics of the global batch in training. Ioffe and Szegedy, arXiv:1502.03167.

    The input is float [B, C, ...], and the output has the same shape and dtype. Statistics are computed in at least
    float32. Every rank must call the layer equally often and with the same number of images, or the ranks wait for
    each other forever. Outside training, or without a distributed run, the layer is torch's BatchNorm. It has the
    same parameters and buffers. The gradient of an input or parameter is that of the sum of all ranks' losses.
    Averaged over the ranks, a parameter's gradient is that of the global batch.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected an input of at least 2 dimensions, not {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.stack(torch.var_mean(wide, (0, *range(2, input.ndim)), correction=0))
        # Each rank fills one row, so that a single sum gives every rank the statistics of all.
        rank, world = dist.get_rank(), dist.get_world_size()
        rows: Tensor = _SumOverRanks.apply(pad(own[None], (0, 0, 0, 0, rank, world - 1 - rank)))
        variances, means = rows.unbind(1)
        # The total variance is the mean of the ranks' variances plus the variance of their means. This avoids the
        # difference of large squares.
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        with torch.no_grad():
            self._track(mean, variance, world * input.numel() // input.shape[1])

        shape = (1, -1, *(1 for _ in range(2, input.ndim)))
        normalised = (wide - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normalised = normalised * self.weight.view(shape)
        if self.bias is not None:
            normalised = normalised + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the running statistics towards those of ``values`` values per channel.

        The running variance is unbiased.
        """
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        unbiased = variance * (values / (values - 1))
        for running, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            if self.momentum is None:  # A plain mean over all batches.
                running.lerp_(new, self.num_batches_tracked.to(new.dtype).reciprocal())
            else:
                running.lerp_(new, self.momentum)


def convert_batch_norm(network: nn.Module) -> nn.Module:
    """Replace each BatchNorm of a network with a :class:`SyncBatchNorm`, in place.

    Parameters and buffers stay the same tensors with the same names, so a state dict of either form loads into the
    other.

    Returns:
        The network. If the network itself is a BatchNorm, its replacement.
    """
    if isinstance(network, _BatchNorm):
        return _synchronised(network)
    for name, child in network.named_children():
        setattr(network, name, convert_batch_norm(child))
    return network


def _synchronised(norm: _BatchNorm) -> SyncBatchNorm:
    sync = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    sync.weight, sync.bias = norm.weight, norm.bias
    sync.running_mean, sync.running_var = norm.running_mean, norm.running_var
    sync.num_batches_tracked = norm.num_batches_tracked
    return sync.train(norm.training)
