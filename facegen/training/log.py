"""The log of a run while it trains: ``log.jsonl`` and the boards.

A tick with a score has the value in ``score`` and its name in ``metric`` (``"FID"``, ``"effnet-lite0 FD"``). It also
has ``fid`` if the value is a FID: the score by the 2,048 features of the published Inception network.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from facegen import console
from facegen.errors import InputError
from facegen.files import open_regular, write_text
from facegen.training.boards import Board

LOG = "log.jsonl"

#: One line of the log: figures by name, ``kimg`` among them, and ``metric``. None for a figure that does not exist
#: here.
Tick = Mapping[str, float | str | None]


def null_where_not_finite(value: Any) -> Any:
    """Return a nested JSON value with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: null_where_not_finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [null_where_not_finite(each) for each in value]
    return value


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the ticks of a run's log under their present keys, oldest first.

    An unfinished last line, as a killed process leaves, is ignored.
    """
    return [with_score(tick) for tick in _written_ticks(run)]


def with_score(tick: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tick under its present keys.

    Older logs have the value of a score under ``fid``, whichever network made it, and do not name the network. So
    such a tick gets a ``score``, the ``metric`` None, and no ``fid``.
    """
    if "fid" not in tick or "score" in tick:
        return dict(tick)
    kept = {key: value for key, value in tick.items() if key != "fid"}
    return {**kept, "score": tick["fid"], "metric": None}


def _written_ticks(run: Path) -> list[dict[str, Any]]:
    return _parsed(_text(run), run / LOG)


def _text(run: Path) -> bytes:
    try:
        with open_regular(run / LOG) as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as problem:
        raise InputError(
            f"Cannot read the log {run / LOG}: {problem.strerror or problem}.",
            "Make it readable, or move it out of the run.",
        ) from problem


def parse_lines(lines: Sequence[bytes], first: int = 1) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the ticks in a log's whole lines, and the numbers of the lines that are not ticks.

    Args:
        lines: The lines to parse.
        first: The number of the first line.
    """
    ticks, damaged = [], []
    for number, line in enumerate(lines, first):
        try:
            tick = json.loads(line)
            if not math.isfinite(tick["kimg"]):
                raise ValueError(tick["kimg"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            damaged += [number] * bool(line.strip())
        else:
            ticks.append(tick)
    return ticks, damaged


def damaged_warning(path: Path, damaged: Sequence[int]) -> str:
    """Return the sentence that says which lines of the log at ``path`` are damaged."""
    many = len(damaged) > 1
    named = ", ".join(map(str, damaged[:20])) + (f" and {len(damaged) - 20:,} more" if len(damaged) > 20 else "")
    return f"{path} is damaged: line{'s' * many} {named} {'are' if many else 'is'} left out."


def _parsed(text: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the ticks in the whole lines of a log's text, and warn about damaged lines."""
    ticks, damaged = parse_lines(text.split(b"\n")[:-1])
    if damaged:
        console.warn(damaged_warning(path, damaged))
    return ticks


class TrainingLog:
    """A writer of ``log.jsonl`` that also tells the boards.

    When a run continues, the lines after the checkpoint are removed first. A line that cannot be written raises
    OSError.

    Args:
        run: The folder of the run.
        kimg: Where the run continues.
        boards: The boards that receive each tick as well.

    Attributes:
        past: The ticks up to that point, oldest first.
    """

    def __init__(self, run: Path, kimg: float, boards: Sequence[Board] = ()) -> None:
        text = _text(run)
        if text and not text.endswith(b"\n"):
            console.warn(f"The last line of {run / LOG} is cut off, as when a process is killed. It is left out.")
        self.past = kept = [tick for tick in _parsed(text, run / LOG) if tick["kimg"] <= kimg + 1e-9]
        if kimg and (not kept or kept[-1]["kimg"] < kimg - 1e-9):
            console.warn(
                f"{run / LOG} has no tick of kimg {kimg:g}, from which the run continues. Either lines were removed "
                "from it, or the run was interrupted there."
            )
        write_text(run / LOG, "".join(_line(tick) for tick in kept))
        self._path, self._folder = run / LOG, run.stat()
        self._file = _open(self._path)
        self._boards = boards

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def require_in_place(self) -> None:
        """Check that the log still exists. If it was taken out of its run, begin a new log and print a warning.

        Raises:
            InputError: The folder of the run was moved or deleted. A new folder under the old name would be a run
                without a recipe and without a past.
        """
        if _is_there(self._path, os.fstat(self._file.fileno())):
            return
        if not _is_there(self._path.parent, self._folder):
            raise InputError(
                f"The run {self._path.parent} was moved or deleted while it trained.",
                "If it was moved, name its new place to continue from its last checkpoint.",
            )
        console.warn(
            f"{self._path} was moved, replaced or deleted while the run trained. A new log continues in its place."
        )
        self._file.close()
        self._file = _open(self._path)

    def complete(self, kimg: float, figures: Mapping[str, float | str]) -> None:
        """Add figures to the last tick, that of ``kimg``, which a stop kept from getting them."""
        ticks = _written_ticks(self._path.parent)
        if not ticks or ticks[-1]["kimg"] < kimg - 1e-9:
            ticks.append({"kimg": kimg})  # The tick was removed from the log in the meantime.
        ticks[-1].update(figures)
        self._file.close()
        write_text(self._path, "".join(map(_line, ticks)))
        self._file = _open(self._path)
        self._tell_boards(kimg, figures)

    def tick(self, tick: Tick) -> None:
        """Write a tick. Values that are not finite become null.

        Boards receive the finite numbers, and ``metric`` as text.
        """
        line = _line(tick).encode()
        if self._file.write(line) < len(line):  # A disk that gets full writes a part of the line without an error.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        kimg = tick["kimg"]
        assert isinstance(kimg, (int, float)), "every tick has its kimg"
        self._tell_boards(kimg, tick)

    def _tell_boards(self, kimg: float, figures: Tick) -> None:
        finite = null_where_not_finite(figures)
        told = {name: value for name, value in finite.items() if name != "kimg" and value is not None}
        for board in self._boards:
            board.add(round(kimg * 1000), told)


def _open(path: Path) -> io.FileIO:
    """Open the log for appending without a buffer.

    If a write fails, a buffer would be written again, and fail again, when the file is closed.
    """
    return path.open("ab", buffering=0)


def _is_there(path: Path, known: os.stat_result) -> bool:
    """Return whether a path is still the same file or folder as before."""
    try:
        return os.path.samestat(path.stat(), known)
    except FileNotFoundError:
        return False


def _line(tick: Tick) -> str:
    return json.dumps(null_where_not_finite(tick), allow_nan=False) + "\n"


def describe_tick(tick: Tick) -> str:
    """Return a tick as the line that the console shows."""

    def shown(name: str, form: str) -> str:
        value = tick.get(name)
        return "-" if value is None else format(value, form)

    words = [
        f"kimg {shown('kimg', '<8.1f')}",
        f"sec/kimg {shown('sec_per_kimg', '<6.2f')}",
        f"{shown('images_per_sec', ',.0f')} images/s",
        f"loss D {shown('loss_d', '.3f')} G {shown('loss_g', '.3f')}",
        f"D(x) {shown('d_real', '.2f')}",
        f"D(G(z)) {shown('d_fake', '.2f')}",
    ]
    if tick.get("memory_gib") is not None:
        words.append(f"memory {shown('memory_gib', '.1f')} GiB")
    if "score" in tick:
        words.append(f"{tick['metric']} {shown('score', '.2f')}")
    return "  ".join(words)
