"""The start or continuation of a run: its recipe, and the checkpoint that fits it."""

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
    """Return the recipe to train, with ``overrides`` applied.

    The recipe is the named one. Without a name, it is the recipe that the run was started with, or else ``dcgan``.
    Overrides that are None are ignored.

    Raises:
        InputError: There is no such recipe, it cannot be read, or the length is given twice.
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
        console.warn(f"{started_with} no longer exists. The recipe is taken from the newest checkpoint.")
        return recipe_from_dict(checkpoint["recipe"], f"The checkpoint of {run}")
    try:
        return load_recipe(started_with)
    except InputError as problem:
        raise InputError(
            problem.message, problem.remedy or "Name the recipe that the run was started with: --recipe"
        ) from problem


def _override(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the user's options applied."""
    if overrides.get("kimg") is not None and overrides.get("minutes") is not None:
        raise InputError("The length of the run is given twice, as --kimg and as --minutes.", "Use only one of them.")
    # An option replaces the recipe's field of the same purpose as well, such as its minimum time between scores.
    instead = {"kimg": "minutes", "score_every": "score_minutes", "checkpoint_every": "checkpoint_minutes"}
    given = {key: value for key, value in overrides.items() if value is not None}
    return recipe.with_overrides({**{instead[key]: 0.0 for key in given if key in instead}, **given})


def checkpoint_to_continue(
    run: Path, recipe: Recipe, dataset: FaceDataset, *, is_writer: bool
) -> dict[str, Any] | None:
    """Return the newest checkpoint of ``run`` if its recipe and dataset fit; None if the run has no checkpoint.

    Args:
        run: The folder of the run.
        recipe: The recipe to continue with.
        dataset: The dataset to train on.
        is_writer: Whether this process is the only one that writes to the run. Only the writer reports and renames
            damaged checkpoints.

    Raises:
        InputError: The folder holds a run of another recipe or dataset, or something other than a run.
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
    if checkpoint is None:  # The files have vanished since they were listed.
        return None
    then = recipe_from_dict(checkpoint["recipe"], f"The checkpoint {files[0]}").learned_fields()
    now = settled_recipe(recipe, checkpoint).learned_fields()
    other = [f"{key} {then[key]!r} (now {now[key]!r})" for key in now if then[key] != now[key]]
    if checkpoint["dataset_sha256"] != dataset.sha256:
        other.append("dataset")
    if other:
        raise InputError(
            f"{run} holds a run that differs in {', '.join(other)}.",
            "Name another folder for a new run, or use the same recipe and dataset to continue the old one.",
        )
    return checkpoint


def is_done(recipe: Recipe, checkpoint: Mapping[str, Any]) -> bool:
    """Return whether a run at this checkpoint has reached its length."""
    if recipe.minutes:
        taken: float = checkpoint["seconds"] + checkpoint.get("aside_seconds", 0.0)
        return taken >= 60 * recipe.minutes
    return bool(checkpoint["images_seen"] >= recipe.total_images)
