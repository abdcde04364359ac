"""The memory that training takes, and what fits into it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.errors import EnvironmentProblem
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

#: Below so many images a batch is halved to any number; above, what is tried is a multiple of it.
ROUND = 8


def peak_memory_gib(device: torch.device) -> float | None:
    """The most memory used so far: of the GPU, or of this process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 2**30
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether torch says that memory is used up.

    By its words too: cuDNN finds no way of a convolution that fits into memory; Metal, and the CPU, have plain errors.
    """
    words = str(problem).lower()
    told = (
        "out of memory",
        "alloc_failed",
        "unable to find an engine",
        "valid cudnn algorithm",
        "allocate memory",
        "not enough memory",
    )
    return isinstance(problem, torch.cuda.OutOfMemoryError) or any(each in words for each in told)


def too_large(
    recipe: Recipe, faces: FaceDataset, device: torch.device, precision: torch.dtype, ranks: Ranks
) -> EnvironmentProblem:
    """What is said of a batch that does not fit into memory: with the one that does, which is tried out."""
    memory = "memory" if device.type == "cpu" else "the memory of the GPU"
    said = f"A batch of {recipe.batch} images does not fit into {memory}."
    if ranks.world > 1:  # it may fit in the others, which wait
        return EnvironmentProblem(said, "Use a smaller --batch.")
    console.info(f"{said} Trying smaller ones.")
    rows = faces.training_rows()

    def build(smaller: Recipe) -> Trainer:
        real = RealImages(faces.images, rows, batch=smaller.batch, seed=recipe.seed, device=device, ranks=ranks)
        return Trainer(smaller, real, faces.size, device, precision, ranks)

    fits = largest_batch(build, recipe.with_overrides({"compile": False}))
    if fits is None:
        return EnvironmentProblem(
            said, "Nor does any smaller one: close what else uses it, or choose a smaller recipe, such as laptop."
        )
    return EnvironmentProblem(
        said, f"One of {fits} fits, as tried just now: use --batch {fits}, in a new run, or close what else uses it."
    )


def largest_batch(build: Callable[[Recipe], Trainer], recipe: Recipe) -> int | None:
    """The largest batch, below the recipe's, of which a step fits into memory; None where not even 2 images do.

    It is measured: halves of the recipe's batch are trained on for a step of each kind until one fits, and then what
    lies between that and the last that did not.

    Args:
        build: makes the trainer of a recipe that differs in its batch alone.
    """
    too_many = recipe.batch
    for batch in _halves(recipe.batch):
        if _fits(build, recipe, batch):
            while (middle := _between(batch, too_many)) is not None:
                if _fits(build, recipe, middle):
                    batch = middle
                else:
                    too_many = middle
            return batch
        too_many = batch
    return None


def _halves(batch: int) -> Iterator[int]:
    while batch >= 4:
        batch //= 2
        if batch > ROUND:
            batch -= batch % ROUND
        yield batch


def _between(fits: int, too_many: int) -> int | None:
    """A round number in the middle of two; None where they are close."""
    middle = (fits + too_many) // 2 // ROUND * ROUND
    return middle if fits < middle < too_many and too_many - fits > fits // 4 else None


def _fits(build: Callable[[Recipe], Trainer], recipe: Recipe, batch: int) -> bool:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # of the trainer before
    try:
        trainer = build(recipe.with_overrides({"batch": batch}))
        for step in range(min(recipe.penalty_every, 2)):  # one with penalties, and one without
            trainer(step)
        trainer.read_figures()
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        return False
    return True


def tensor_bytes(state: Any) -> int:
    """The size of all tensors in a state, nested as it may be: what a checkpoint of it takes on the disk."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(map(tensor_bytes, state.values()))
    return sum(map(tensor_bytes, state)) if isinstance(state, list | tuple) else 0
