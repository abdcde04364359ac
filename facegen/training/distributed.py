"""Several processes, one training: ranks started by torchrun that share each batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from facegen.errors import EnvironmentProblem


@dataclass(frozen=True)
class Ranks:
    """This process among ``world`` ranks. Rank 0 writes files and prints."""

    rank: int = 0
    world: int = 1

    @property
    def is_writer(self) -> bool:
        return self.rank == 0

    def shard(self, whole: Tensor) -> Tensor:
        """This rank's rows of a global batch [B, ...]; B is a multiple of ``world``."""
        return whole.chunk(self.world)[self.rank]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the ranks, in place, in one message."""
        if self.world == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.world == 1:
            return flag
        votes = torch.tensor(float(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """The ranks torchrun started (from its environment variables), joined for the block; else this process alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    if not dist.is_available():
        raise EnvironmentProblem("This build of torch has no torch.distributed.", "Train without torchrun.")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()
