"""Rolling back: a run that collapses continues, once, from its best state at a lower learning rate."""

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

#: Factor of both learning rates after a rollback. The recipe's rate was too high for the state in which the GAN
#: collapsed. Half of it trains at half the pace.
RATE_FACTOR = 0.5
#: The checkpoint of the best score. A run keeps it in addition to the newest checkpoints.
BEST_CHECKPOINT = "best.pt"
#: The folder of the grids that a rollback drops.
DROPPED = "rolled-back"


class Restart(NamedTuple):
    """The point from which a run continues.

    Attributes:
        checkpoint: The state to continue from; None for the start.
        rate_factor: Factor of the recipe's learning rates from there on.
        spent: Seconds that the run took before. Used only when there is no checkpoint to tell.
    """

    checkpoint: dict[str, Any] | None
    rate_factor: float
    spent: float = 0.0

    @classmethod
    def of_run(cls, checkpoint: dict[str, Any] | None) -> Restart:
        """Return the point from which a run continues that was interrupted, or starts if it is new."""
        return cls(checkpoint, 1.0 if checkpoint is None else checkpoint.get("rate_factor", 1.0))

    @property
    def images_seen(self) -> int:
        return 0 if self.checkpoint is None else int(self.checkpoint["images_seen"])

    def clock(self) -> Clock:
        """Return the clock of the run, set to this point."""
        if self.checkpoint is None:
            return Clock(aside=self.spent)
        return Clock(self.checkpoint["seconds"], self.checkpoint.get("aside_seconds", 0.0))


def keep_as_best(checkpoint: Path) -> None:
    """Keep a checkpoint of the best score in addition to the newest ones.

    It becomes a second name of the same file where the file system has hard links, or else a copy.
    """
    best = checkpoint.with_name(BEST_CHECKPOINT)
    link = best.with_name(f".{BEST_CHECKPOINT}.part")
    try:
        link.unlink(missing_ok=True)
        os.link(checkpoint, link)
        link.replace(best)
    except OSError:  # The file system has no hard links.
        with atomic_path(best) as temporary:
            shutil.copyfile(checkpoint, temporary)


def roll_back(run: Path, problem: Collapsed, spent: float) -> Restart:
    """Return a run to its best checkpoint, or to its start if it has none, and print a warning.

    The best checkpoint is the one of the best score. In a run without scores it is the newest one that was saved
    while no health warning applied. ``rollback.json`` and the folder ``rolled-back`` keep what came after it. If the
    process is killed during a rollback, the run collapses and is rolled back once more.

    Args:
        run: The folder of the run.
        problem: The collapse.
        spent: Seconds of the run until now. They still count, as time aside from training.
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
        f"{problem.message} The run goes back to {where}, and continues at {RATE_FACTOR:g} times the learning rates. "
        f"This happens at most once. {run / ROLLBACK} keeps what was dropped. To train on instead, use --no-rollback."
    )
    return Restart(checkpoint, RATE_FACTOR, spent)


def follow_roll_back(run: Path, images_seen: float) -> Restart:
    """Return the point that :func:`roll_back` chose, on a rank that does not write.

    Args:
        run: The folder of the run.
        images_seen: The number of images to which the writer went back.
    """
    return Restart(newest_checkpoint(run, is_writer=False) if images_seen else None, RATE_FACTOR)


def _best(run: Path) -> dict[str, Any] | None:
    """Return the state to go back to; None for the start. Damaged files are skipped."""
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
    """Move the dropped grids out of the run's samples, so that nothing shows them as part of the run."""
    for grid in run_grids(run):
        if grid.kimg > to / 1000 + 1e-9:
            with suppress(OSError):  # On Windows, a file that is open cannot be moved.
                (run / DROPPED).mkdir(exist_ok=True)
                grid.path.replace(run / DROPPED / grid.path.name)
