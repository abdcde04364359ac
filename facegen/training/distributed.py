"""Training with several processes: ranks that torchrun starts share each batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from facegen.device import world_size
from facegen.errors import EnvironmentProblem, in_words

#: How long ranks wait for one another. The writer may first have to extract the features of a whole reference. A rank
#: that dies is noticed at once, without this timeout.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This process as one of ``world`` ranks. Rank 0 writes the files and the messages."""

    rank: int = 0
    world: int = 1

    @property
    def is_writer(self) -> bool:
        return self.rank == 0

    def shard(self, whole: Tensor) -> Tensor:
        """Return this rank's rows of a global batch [B, ...]. B must be a multiple of ``world``."""
        return whole.chunk(self.world)[self.rank]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the ranks in place, in one message."""
        if self.world == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather(self, part: npt.NDArray[Any], device: torch.device) -> npt.NDArray[Any]:
        """Return all ranks' arrays of the same shape [n, ...] in the order of the ranks: [world · n, ...].

        The arrays travel through ``device``.
        """
        if self.world == 1:
            return part
        own = torch.from_numpy(part).to(device)
        parts = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(parts, own)
        return torch.cat(parts).cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true on any rank."""
        if self.world == 1:
            return flag
        votes = torch.tensor(float(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes.item())

    def agree(self, value: float) -> float:
        """Return the writer's value on every rank."""
        if self.world == 1:
            return value
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        told = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(told, src=0)
        return float(told.item())


def is_writing_process() -> bool:
    """Return whether this process is the writer, according to torchrun's variables.

    This works before the ranks have joined.
    """
    return os.environ.get("RANK", "0") == "0" or world_size() == 1


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, and yield this process's place among them.

    The environment variables of torchrun describe the ranks. Without them, this process is the only rank.

    Raises:
        EnvironmentProblem: The variables are not torchrun's, the ranks do not find each other, or a rank is lost.
    """
    world = world_size()
    if world == 1:
        yield Ranks()
        return
    if not dist.is_available():
        raise EnvironmentProblem("This build of torch has no torch.distributed.", "Train without torchrun.")
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as problem:  # torch raises them for bad variables and for sockets that fail.
        raise EnvironmentProblem(
            f"The {world} ranks of WORLD_SIZE cannot join: {in_words(problem)}.",
            "Start them with torchrun, or unset WORLD_SIZE to train with one process.",
        ) from problem
    try:
        yield Ranks(dist.get_rank(), world)
    except RuntimeError as problem:
        if not _is_of_a_lost_rank(problem):
            raise
        raise EnvironmentProblem(
            f"Another rank has ended, so rank {dist.get_rank()} cannot continue: {str(problem).splitlines()[0]}",
            "The last checkpoint is whole. Run the same command again to continue from it.",
        ) from problem
    finally:
        dist.destroy_process_group()


def _is_of_a_lost_rank(problem: RuntimeError) -> bool:
    """Return whether an error means that another rank is lost.

    NCCL's errors have their own type. gloo's are recognised by their words.
    """
    return isinstance(problem, dist.DistError) or "gloo" in str(problem).lower()
