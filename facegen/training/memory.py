"""The memory that training takes, and the largest batch that fits into it."""

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

#: Above this number of images, a trial batch is a multiple of it. Below, a batch can be halved to any number.
ROUND = 8


def peak_memory_gib(device: torch.device) -> float | None:
    """Return the peak memory used so far, in GiB: of the GPU, or of this process without one.

    None if the system does not tell.
    """
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
    """Return whether an error of torch means that memory ran out.

    Some errors show it only in their words. cuDNN reports that it finds no algorithm for a convolution. Metal and the
    CPU raise a plain RuntimeError.
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
    """Return the error for a batch that does not fit into memory. Trials find the batch size that the remedy names."""
    memory = "memory" if device.type == "cpu" else "the memory of the GPU"
    said = f"A batch of {recipe.batch} images does not fit into {memory}."
    if ranks.world > 1:  # The batch may fit on the other ranks, which would wait for this one.
        return EnvironmentProblem(said, "Use a smaller --batch.")
    console.info(f"{said} Trying smaller batches.")
    rows = faces.training_rows()

    def build(smaller: Recipe) -> Trainer:
        real = RealImages(faces.images, rows, batch=smaller.batch, seed=recipe.seed, device=device, ranks=ranks)
        return Trainer(smaller, real, faces.size, device, precision, ranks)

    fits = largest_batch(build, recipe.with_overrides({"compile": False}))
    if fits is None:
        return EnvironmentProblem(
            said,
            "No smaller batch fits either. Close other programs that use memory, or use a smaller recipe, "
            "such as laptop.",
        )
    return EnvironmentProblem(
        said,
        f"A batch of {fits} fits, as a trial showed. Start a new run with --batch {fits}, or close other programs that "
        "use memory.",
    )


def largest_batch(build: Callable[[Recipe], Trainer], recipe: Recipe) -> int | None:
    """Return the largest batch below the recipe's of which a step fits into memory; None if not even 2 images fit.

    The answer is measured. Halves of the recipe's batch train for one step of each kind until one fits. Then sizes
    between that one and the last that did not fit are tried.

    Args:
        build: Makes the trainer of a recipe that differs only in its batch.
        recipe: The recipe whose batch is too large.
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
    """Return a multiple of ``ROUND`` near the middle of two batches; None if the two are close."""
    middle = (fits + too_many) // 2 // ROUND * ROUND
    return middle if fits < middle < too_many and too_many - fits > fits // 4 else None


def _fits(build: Callable[[Recipe], Trainer], recipe: Recipe, batch: int) -> bool:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # Free the memory of the previous trainer.
    try:
        trainer = build(recipe.with_overrides({"batch": batch}))
        for step in range(min(recipe.penalty_every, 2)):  # One step with penalties, and one without.
            trainer(step)
        trainer.read_figures()
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        return False
    return True


def tensor_bytes(state: Any) -> int:
    """Return the total size of the tensors in a nested state, in bytes.

    A checkpoint of the state takes as much disk space.
    """
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(map(tensor_bytes, state.values()))
    return sum(map(tensor_bytes, state)) if isinstance(state, list | tuple) else 0
