"""Rolling back: a run that collapsed goes on, once, from where it was at its best, at a lower rate."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from facegen import console
from facegen.errors import InputError
from facegen.files import Damaged, atomic_path, write_json
from facegen.training.checkpoint import (
    CHECKPOINTS,
    ROLLBACK,
    checkpoint_files,
    checkpoint_path,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from facegen.training.clock import Clock
from facegen.training.grids import run_grids
from facegen.training.health import Collapsed
from facegen.training.log import null_where_not_finite, read_log

#: The learning rates of G and D after it, as a share of the recipe's. A GAN that collapsed did so at a rate that was
#: too high for where it stood; half of it trains on at half the pace.
RATE_FACTOR = 0.5
#: The checkpoint of the best score: one more than a run keeps otherwise.
BEST_CHECKPOINT = "best.pt"
#: The folder of the grids that are dropped.
DROPPED = "rolled-back"


class Restart(NamedTuple):
    """From where a run goes on.

    Attributes:
        checkpoint: its state, or None for the start.
        rate_factor: what the learning rates are of the recipe's from there on.
        spent: seconds that the run took before, where there is no checkpoint to tell.
    """

    checkpoint: dict[str, Any] | None
    rate_factor: float
    spent: float = 0.0

    @classmethod
    def of_run(cls, checkpoint: dict[str, Any] | None) -> Restart:
        """Where a run goes on that was broken off, or has not begun."""
        return cls(checkpoint, 1.0 if checkpoint is None else checkpoint.get("rate_factor", 1.0))

    @property
    def images_seen(self) -> int:
        return 0 if self.checkpoint is None else int(self.checkpoint["images_seen"])

    def clock(self) -> Clock:
        """The run's, from there on."""
        if self.checkpoint is None:
            return Clock(aside=self.spent)
        return Clock(self.checkpoint["seconds"], self.checkpoint.get("aside_seconds", 0.0))


def keep_as_best(checkpoint: Path) -> None:
    """Keep a checkpoint of the best score beside the newest ones: as another name of the same file, or a copy."""
    best = checkpoint.with_name(BEST_CHECKPOINT)
    link = best.with_name(f".{BEST_CHECKPOINT}.part")
    try:
        link.unlink(missing_ok=True)
        os.link(checkpoint, link)
        link.replace(best)
    except OSError:  # a file system without links
        with atomic_path(best) as temporary:
            shutil.copyfile(checkpoint, temporary)


def roll_back(run: Path, problem: Collapsed, spent: float) -> Restart:
    """Put the run back to its best checkpoint, or to its start where it has none, and say so.

    The best is that of the best score; where nothing was scored, the newest that was saved while all was well. What
    came after it is kept in ``rollback.json`` and the folder ``rolled-back``. A process that is killed in between
    leaves a run that collapses, and is rolled back, once more.

    Args:
        problem: what happened.
        spent: seconds of the run until now; they count, as time aside from training.
    """
    checkpoint = _best(run)
    to = 0 if checkpoint is None else checkpoint["images_seen"]
    dropped = [tick for tick in read_log(run) if tick["kimg"] > to / 1000 + 1e-9]
    record = {
        "schema": 1,
        **{"from_kimg": problem.kimg, "to_kimg": to / 1000, "reason": problem.message, "rate_factor": RATE_FACTOR},
        "ticks": null_where_not_finite(dropped),
    }
    write_json(run / ROLLBACK, record)
    if checkpoint is not None:
        aside = max(spent - checkpoint["seconds"], checkpoint.get("aside_seconds", 0.0))
        checkpoint |= {"aside_seconds": aside, "rate_factor": RATE_FACTOR, "troubled": False}
        write_checkpoint(checkpoint_path(run, to), checkpoint)
    for path in checkpoint_files(run):
        if path.name > checkpoint_path(run, to).name:
            path.unlink(missing_ok=True)
    _set_grids_aside(run, to)
    where = "its start" if checkpoint is None else f"its best checkpoint, kimg {to / 1000:g}"
    console.warn(
        f"{problem.message} The run goes back to {where}, and on from there at {RATE_FACTOR:g} times the learning "
        f"rates. It does so once. What is dropped is kept in {run / ROLLBACK}; --no-rollback trains on instead."
    )
    return Restart(checkpoint, RATE_FACTOR, spent)


def follow_roll_back(run: Path, images_seen: float) -> Restart:
    """What :func:`roll_back` did, for a rank that does not write: the writer went back to so many ``images_seen``."""
    return Restart(newest_checkpoint(run, is_writer=False) if images_seen else None, RATE_FACTOR)


def _best(run: Path) -> dict[str, Any] | None:
    """The state to go back to. A damaged file is as none: there is another, or the start."""
    files = [run / CHECKPOINTS / BEST_CHECKPOINT, *checkpoint_files(run)]
    for path in files:
        try:
            state = read_checkpoint(path)
        except (Damaged, InputError, OSError):
            continue
        if not state.get("troubled"):
            return state
    return None


def _set_grids_aside(run: Path, to: int) -> None:
    """Move the grids of what is dropped out of the run's samples, which others take for its way."""
    for grid in run_grids(run):
        if grid.kimg > to / 1000 + 1e-9:
            with suppress(OSError):  # one that is open on Windows stays
                (run / DROPPED).mkdir(exist_ok=True)
                grid.path.replace(run / DROPPED / grid.path.name)
