"""A board that writes an event file for TensorBoard, in the calling thread.

torch's ``SummaryWriter`` writes in a thread of its own. If that fails, for example because the disk is full, it
prints a traceback and ends the training. A run does not need TensorBoard. So this board warns once about a failure,
and training continues.
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
    """A writer of a new event file in ``run``. It warns once if the file cannot be written.

    Args:
        run: The folder of the run.
        recipe: The recipe of the run, which is not written to the file.
        seen: Number of images shown before. TensorBoard drops later steps that earlier files contain.
    """

    def __init__(self, run: Path, recipe: Recipe, seen: int) -> None:
        # Imported here, because TensorBoard is slow to import.
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
        """Write numbers as scalars and words as text, by their names."""
        from tensorboard.compat.proto.event_pb2 import Event
        from torch.utils.tensorboard.summary import scalar, text

        for name, value in values.items():
            summary = text(name, value) if isinstance(value, str) else scalar(name, value)
            self._write(Event(summary=summary, step=step))

    def picture(self, step: int, path: Path) -> None:
        """Do nothing: the grids are in the run's folder already."""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()  # The file has no buffer, so nothing is left to write.

    def _write(self, event: Event) -> None:
        if self._writer is None:
            return
        event.wall_time = time.time()  # Only TensorBoard uses the time; facegen does not read it.
        try:
            self._writer.write(event.SerializeToString())
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        console.warn(
            f"TensorBoard's file {self._path} cannot be written: {problem.strerror or in_words(problem)}. Training "
            "continues without it, and log.jsonl has the same figures."
        )
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _next_time(run: Path) -> int:
    """Return the present time in seconds, or more if an earlier file has a later time in its name.

    TensorBoard reads files in the order of these times, and a clock can go back.
    """
    times = [path.name[len(PREFIX) :].partition(".")[0] for path in run.glob(f"{PREFIX}*")]
    return max([int(time.time()), *(int(each) + 1 for each in times if each.isascii() and each.isdigit())])
