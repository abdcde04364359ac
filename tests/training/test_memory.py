from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from facegen.training.memory import is_out_of_memory, largest_batch
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer


@pytest.mark.parametrize(
    ("batch", "room", "found"),
    [(8, 7, 4), (8, 3, 2), (8, 1, None), (128, 64, 64), (128, 100, 96), (128, 63, 56), (100, 99, 80), (2, 1, None)],
)
def test_the_largest_batch_that_fits_is_tried_out(
    batch: int, room: int, found: int | None, tiny_recipe: Recipe
) -> None:
    """By hand: halves, in eights above eight, then the middle until it is within a quarter."""

    class Roomy:
        def __init__(self, recipe: Recipe) -> None:
            self.batch = recipe.batch

        def __call__(self, step: int) -> None:
            if self.batch > room:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")

        def read_figures(self) -> None:
            pass

    recipe = tiny_recipe.with_overrides({"batch": batch})
    assert largest_batch(Roomy, recipe) == found  # type: ignore[arg-type]


def test_a_step_of_each_kind_is_trained(tiny_recipe: Recipe, trainer_of: Callable[..., Trainer]) -> None:
    """A batch whose penalties do not fit does not fit."""
    steps: list[tuple[int, int]] = []

    def build(recipe: Recipe) -> Trainer:
        trainer = trainer_of(recipe)
        run_step = trainer.run_step

        def counted(penalised: tuple[bool, ...]) -> dict[str, torch.Tensor]:
            steps.append((recipe.batch, sum(penalised)))
            if recipe.batch > 2 and any(penalised):
                raise RuntimeError("MPS backend out of memory")
            return run_step(penalised)

        trainer.run_step = counted  # type: ignore[method-assign]
        return trainer

    penalised = {"discriminator_norm": "none", "loss": "relativistic", "r1_gamma": 2.0, "penalty_every": 4}
    assert largest_batch(build, tiny_recipe.with_overrides(penalised)) == 2
    assert steps == [(4, 1), (2, 1), (2, 0)]


def test_another_error_is_not_taken_for_it(tiny_recipe: Recipe) -> None:
    def build(recipe: Recipe) -> Trainer:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side assert"):
        largest_batch(build, tiny_recipe)
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
