"""The data of the page as JSON. It is the same for the server and for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facegen.printable import printable
from facegen.scoring.score import FID_TARGET
from facegen.training.grids import Grid
from facegen.training.run_view import Rollback, RunView
from facegen.watching.curves import Curves

#: Returns the address of a grid of the run with this index: a path on the server, or a data URI.
AddressOf = Callable[[int, Grid], str]


def shown_run(
    view: RunView, place: int, name: str, curves: Curves, grids: Sequence[Grid], address_of: AddressOf
) -> dict[str, Any]:
    """Return a run in the form that the page's script draws.

    Args:
        view: The run.
        place: Its index among the page's runs, from 0.
        name: Its name on the page.
        curves: The curves of this run. The object remembers what it has read.
        grids: The grids to show.
        address_of: Returns the address of a grid.
    """
    recipe = view.recipe
    is_fid = view.metric == "FID"
    best = view.best
    return {
        "name": name,
        "path": printable(str(view.path)),
        "state": view.state,
        "recipe": printable(recipe.name) if recipe else None,
        "networks": printable(f"{recipe.generator}, width {recipe.generator_width}") if recipe else None,
        "batch": recipe.batch if recipe else None,
        "minutes": recipe.minutes or None if recipe else None,
        "trained_against": recipe.trained_against if recipe else None,
        "kimg": view.kimg,
        "total_kimg": view.total_kimg,
        "progress": view.progress,
        "seconds": view.seconds,
        "aside_seconds": view.aside_seconds,
        "seconds_left": view.seconds_left,
        "images_per_sec": view.images_per_sec,
        "last_tick": view.last_tick,
        "ticks": len(view.ticks),
        "metric": printable(view.metric) if view.metric else "score" if view.scores else None,
        "target": FID_TARGET if is_fid else None,
        "scores": [[score.kimg, score.value] for score in view.scores],
        "best": [best.kimg, best.value] if best else None,
        "curves": curves.of(view.ticks, recipe, view.rollback),
        "grids": [[grid.kimg, address_of(place, grid)] for grid in grids],
        "all_grids": len(view.grids),
        "rollback": _shown_rollback(view.rollback),
        "remarks": [printable(remark) for remark in view.remarks],
        "problem": None,
    }


def missing_run(path: Path, name: str, problem: str) -> dict[str, Any]:
    """Return the entry of a run that can no longer be read, with the reason."""
    return {"name": name, "path": printable(str(path)), "problem": printable(problem)}


def _shown_rollback(rollback: Rollback | None) -> dict[str, Any] | None:
    if rollback is None:
        return None
    return {
        "from_kimg": rollback.from_kimg,
        "to_kimg": rollback.to_kimg,
        "reason": printable(rollback.reason),
        "rate_factor": rollback.rate_factor,
        "curves": Curves().of(rollback.ticks, None),
    }


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return the names of runs on the page: the last part of each path, with more parts if names would be equal."""
    parts = [path.absolute().parts for path in paths]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        names.append(printable("/".join(own[-length:]).replace("//", "/")))
    return names


def page_data(runs: Sequence[Mapping[str, Any]], *, written: str | None, version: str) -> dict[str, Any]:
    """Return all data for the page's script. ``written`` is the time of a report, or None for a served page."""
    return {"schema": 1, "version": version, "written": written, "runs": list(runs)}
