"""A run's figures for TensorBoard: its event file, written by this thread.

torch's ``SummaryWriter`` writes from a thread of its own. Where that fails, as on a full disk, it prints a traceback
and ends the training. A run needs no TensorBoard: so here a failure is said once, and training goes on.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from facegen import console
from facegen.errors import in_words
from facegen.training.recipe import Recipe

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

PREFIX = "events.out.tfevents."


class TensorBoard:
    """Appends to an event file in ``run`` of its own. What cannot be written is said once, in a warning.

    Args:
        run: the folder.
        recipe: what it trains, which TensorBoard is not told.
        seen: images that were shown before. What earlier files have of later steps, TensorBoard drops.
    """

    def __init__(self, run: Path, recipe: Recipe, seen: int) -> None:
        # As late as possible: TensorBoard is slow to import.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._writer = None
        self._path = run / f"{PREFIX}{_next_time(run):010d}.{platform.node()}.{os.getpid()}"
        try:
            self._writer = RecordWriter(self._path.open("wb", buffering=0))
        except OSError as problem:
            self._give_up(problem)
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(session_log=SessionLog(status=SessionLog.START), step=seen + 1))

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        """Write numbers as scalars, and words as text, by their names."""
        from tensorboard.compat.proto.event_pb2 import Event
        from torch.utils.tensorboard.summary import scalar, text

        for name, value in values.items():
            summary = text(name, value) if isinstance(value, str) else scalar(name, value)
            self._write(Event(summary=summary, step=step))

    def picture(self, step: int, path: Path) -> None:
        """Nothing: the run's folder has the grids, and an event file would have them twice."""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()  # it has no buffer, so nothing is left to write

    def _write(self, event: Event) -> None:
        if self._writer is None:
            return
        event.wall_time = time.time()  # for TensorBoard alone: facegen reads no date from it
        try:
            self._writer.write(event.SerializeToString())
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        console.warn(
            f"TensorBoard's file {self._path} cannot be written: {problem.strerror or in_words(problem)}. Training "
            "goes on without it; log.jsonl has the same figures."
        )
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _next_time(run: Path) -> int:
    """The present in seconds, or more: TensorBoard reads files by the times in their names, and a clock may go back."""
    times = [path.name[len(PREFIX) :].partition(".")[0] for path in run.glob(f"{PREFIX}*")]
    return max([int(time.time()), *(int(each) + 1 for each in times if each.isascii() and each.isdigit())])
