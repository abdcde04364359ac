"""How a run begins, or goes on: its recipe, and the checkpoint that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.data.litter import is_litter
from facegen.errors import InputError
from facegen.training.checkpoint import RECIPE, checkpoint_files, newest_checkpoint
from facegen.training.clock import settled_recipe
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict

DEFAULT_RECIPE = "dcgan"


def chosen_recipe(recipe: str | Path | None, run: Path, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe of a name or file, else the one that the run was started with, else ``dcgan``; with ``overrides``.

    None values among the overrides are ignored.

    Raises:
        InputError: no such recipe, or one that cannot be read; a length that is said twice.
    """
    return _override(_choose_recipe(recipe, run), overrides)


def _choose_recipe(recipe: str | Path | None, run: Path) -> Recipe:
    if recipe is not None:
        return load_recipe(recipe)
    started_with = run / RECIPE
    if not started_with.is_file():
        checkpoint = newest_checkpoint(run, is_writer=False)
        if checkpoint is None:
            return load_recipe(DEFAULT_RECIPE)
        console.warn(f"{started_with} is no longer there: the recipe is that of the newest checkpoint.")
        return recipe_from_dict(checkpoint["recipe"], f"The checkpoint of {run}")
    try:
        return load_recipe(started_with)
    except InputError as problem:
        raise InputError(
            problem.message, problem.remedy or "Name the recipe that the run was started with: --recipe"
        ) from problem


def _override(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with what was said by hand."""
    if overrides.get("kimg") is not None and overrides.get("minutes") is not None:
        raise InputError("A run's length is said twice, as --kimg and as --minutes.", "Say one of them.")
    # What is said by hand counts, whatever else the recipe says of it.
    instead = {"kimg": "minutes", "score_every": "score_minutes", "checkpoint_every": "checkpoint_minutes"}
    given = {key: value for key, value in overrides.items() if value is not None}
    return recipe.with_overrides({**{instead[key]: 0.0 for key in given if key in instead}, **given})


def checkpoint_to_continue(
    run: Path, recipe: Recipe, dataset: FaceDataset, *, is_writer: bool
) -> dict[str, Any] | None:
    """The newest checkpoint of ``run`` if it is of this recipe and dataset, None if the run has none.

    Args:
        is_writer: as for :func:`facegen.training.checkpoint.newest_checkpoint`.

    Raises:
        InputError: the folder holds a run of another recipe or dataset, or something that is no run at all.
    """
    files = checkpoint_files(run)
    if not files:
        if run.exists() and (
            not run.is_dir()
            or (any(not is_litter(entry.name) for entry in run.iterdir()) and not (run / RECIPE).is_file())
        ):
            raise InputError(f"{run} exists and is not a run.", "Name another folder for the run.")
        return None
    checkpoint = newest_checkpoint(run, is_writer=is_writer)
    if checkpoint is None:  # they vanished in the meantime
        return None
    then = recipe_from_dict(checkpoint["recipe"], f"The checkpoint {files[0]}").learned_fields()
    now = settled_recipe(recipe, checkpoint).learned_fields()
    other = [f"{key} {then[key]!r} (now {now[key]!r})" for key in now if then[key] != now[key]]
    if checkpoint["dataset_sha256"] != dataset.sha256:
        other.append("dataset")
    if other:
        raise InputError(
            f"{run} holds a run that differs in {', '.join(other)}.",
            "Name another folder for the new run, or give the same recipe and dataset to go on.",
        )
    return checkpoint


def is_done(recipe: Recipe, checkpoint: Mapping[str, Any]) -> bool:
    """Whether a run at this checkpoint has its length."""
    if recipe.minutes:
        taken: float = checkpoint["seconds"] + checkpoint.get("aside_seconds", 0.0)
        return taken >= 60 * recipe.minutes
    return bool(checkpoint["images_seen"] >= recipe.total_images)
