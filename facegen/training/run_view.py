"""A run as an observer sees it: the contents of its files, read without printing or changing anything."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from facegen.errors import InputError
from facegen.files import StrPath, open_regular, read_regular
from facegen.locks import is_held
from facegen.training.checkpoint import RECIPE, ROLLBACK
from facegen.training.grids import Grid, run_grids
from facegen.training.log import LOG, damaged_warning, parse_lines, with_score
from facegen.training.recipe import Recipe, load_recipe

State = Literal["beginning", "training", "finished", "stopped"]
#: Number of the last ticks from which the present pace is taken.
PACE_TICKS = 10
#: Without file locks, a run counts as training until this time after its last tick: a number of seconds, or of ticks,
#: whichever is longer.
QUIET_SECONDS, QUIET_TICKS = 300.0, 5.0
#: Maximum size of a rollback.json, in bytes. The dropped ticks of a long run can fill some of it.
_MOST_ROLLBACK = 64 << 20


@dataclass(frozen=True)
class RunScore:
    """A periodic score of a run. Lower is better."""

    kimg: float
    value: float


@dataclass(frozen=True)
class Rollback:
    """A rollback of a run.

    Attributes:
        from_kimg: Where the run collapsed.
        to_kimg: Where it continued.
        reason: Why it went back, in words.
        rate_factor: Factor of the learning rates afterwards; None if the file does not say.
        ticks: The ticks that were dropped.
    """

    from_kimg: float
    to_kimg: float
    reason: str
    rate_factor: float | None
    ticks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class RunView:
    """The contents of a run's folder at one moment.

    Attributes:
        path: The folder of the run.
        state: ``"beginning"`` (a process trains, and there is no tick yet), ``"training"``, ``"finished"`` (the run has
            reached its length) or ``"stopped"``.
        recipe: The recipe; None if it cannot be read.
        ticks: The ticks of the log under their present keys, oldest first.
        grids: The grids in the order of their kimg.
        metric: The name of the scores, such as ``"FID"``; None if there are none, or if an old log does not say.
        scores: The scores by that metric, oldest first.
        best: The lowest score; the first one if several are equal.
        kimg: The kimg of the last tick; 0 without a tick.
        images_per_sec: The pace in the last tick that has it.
        seconds: Seconds of training, according to the last tick.
        aside_seconds: Seconds of scores, files and the compiler, according to the last tick.
        seconds_left: Seconds to the recipe's end at the pace of the last ticks; None if unknown, or if nothing trains.
        last_tick: When the log was last written, in seconds since 1970; None without a log.
        rollback: The last rollback; None if there was none.
        remarks: What is damaged or left out, one sentence each.
    """

    path: Path
    state: State
    recipe: Recipe | None
    ticks: tuple[Mapping[str, Any], ...]
    grids: tuple[Grid, ...]
    metric: str | None
    scores: tuple[RunScore, ...]
    best: RunScore | None
    kimg: float
    images_per_sec: float | None
    seconds: float | None
    aside_seconds: float | None
    seconds_left: float | None
    last_tick: float | None
    rollback: Rollback | None
    remarks: tuple[str, ...]

    @property
    def total_kimg(self) -> float | None:
        """The length of the run, in kimg. For a length by the clock, it is the one that the pace was found to reach."""
        return self.recipe.kimg if self.recipe else None

    @property
    def progress(self) -> float | None:
        """The fraction of the run that is done, from 0 to 1."""
        if self.recipe is None:
            return None
        if self.recipe.minutes:
            return min(1.0, elapsed(self.ticks[-1]) / (60 * self.recipe.minutes)) if self.ticks else 0.0
        return min(1.0, self.kimg / self.recipe.kimg)


def read_run(path: StrPath) -> RunView:
    """Read the run at ``path``, without printing, writing or caching anything.

    Raises:
        InputError: ``path`` does not exist or is not a run; or its log or its grids cannot be read.
    """
    return RunReader(path).read()


class RunReader:
    """A reader that reads one run repeatedly. It reads only the new part of a log that has grown.

    Args:
        path: The folder of the run.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self._log = _LogReader(self.path / LOG)
        self._recipe: tuple[tuple[int, ...], Recipe | None, tuple[str, ...]] | None = None

    def read(self) -> RunView:
        """Return the run as it is now.

        Raises:
            InputError: The folder is not a run, or its log or its grids cannot be read.
        """
        held = is_held(self.path)
        _require_run(self.path, is_training=held is True)
        recipe, remarks = self._read_recipe()
        last_tick = self._log.read()
        ticks = tuple(self._log.ticks)
        if self._log.damaged:
            remarks += (damaged_warning(self.path / LOG, self._log.damaged),)
        rollback, said = _rollback(self.path)
        metric, scores, others = scores_of(ticks)
        if others:
            also = f"{others:,} earlier score{'s are' if others > 1 else ' is'} by another network and left out."
            remarks += (also,)
        state = _state(recipe, ticks, held, last_tick)
        return RunView(
            path=self.path,
            state=state,
            recipe=recipe,
            ticks=ticks,
            grids=run_grids(self.path),
            metric=metric,
            scores=scores,
            best=min(scores, key=lambda score: score.value, default=None),
            kimg=float(ticks[-1]["kimg"]) if ticks else 0.0,
            images_per_sec=_last(ticks, "images_per_sec"),
            seconds=_last(ticks, "seconds"),
            aside_seconds=_last(ticks, "aside_seconds"),
            seconds_left=_seconds_left(recipe, ticks) if state == "training" else None,
            last_tick=last_tick,
            rollback=rollback,
            remarks=remarks + said,
        )

    def _read_recipe(self) -> tuple[Recipe | None, tuple[str, ...]]:
        """Return the recipe, or a sentence that says why there is none.

        The file is read again only if it was written since.
        """
        path = self.path / RECIPE
        try:
            found = path.stat()
        except FileNotFoundError:  # The run is just beginning.
            return None, ()
        except OSError as problem:
            return None, (f"The recipe {path} cannot be read: {problem.strerror or problem}.",)
        written = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._recipe is None or self._recipe[0] != written:
            try:
                self._recipe = (written, load_recipe(path), ())
            except InputError as problem:
                self._recipe = (written, None, (problem.message,))
        return self._recipe[1:]


class _LogReader:
    """A reader of one log. It reads old lines again only if the file was replaced, or changed before its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self.ticks: list[dict[str, Any]] = []
        self.damaged: list[int] = []
        self._file: tuple[int, int] | None = None
        self._read, self._lines, self._end = 0, 0, b""

    def read(self) -> float | None:
        """Read the new lines; return when the file was last written, or None if there is no file.

        An unfinished last line is left for the next call.
        """
        try:
            with open_regular(self._path) as file:
                found = os.fstat(file.fileno())
                which = (found.st_dev, found.st_ino)
                file.seek(max(0, self._read - len(self._end)))
                if which != self._file or file.read(len(self._end)) != self._end:
                    self._forget()
                    self._file = which
                    file.seek(0)
                text = file.read()
        except FileNotFoundError:
            self._forget()
            return None
        except OSError as problem:
            raise InputError(
                f"Cannot read the log {self._path}: {problem.strerror or problem}.",
                "Make it readable, or move it out of the run.",
            ) from problem
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            lines = whole.split(b"\n")[:-1]
            ticks, damaged = parse_lines(lines, self._lines + 1)
            self.ticks += map(with_score, ticks)
            self.damaged += damaged
            self._read, self._lines = self._read + len(whole), self._lines + len(lines)
            self._end = whole[-200:]
        return found.st_mtime


def figure(tick: Mapping[str, Any], name: str) -> float | None:
    """Return a tick's figure of this name; None if the tick lacks it or it is not finite."""
    value = tick.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def elapsed(tick: Mapping[str, Any]) -> float:
    """Return the seconds from the start of a run to a tick, in training and aside from it."""
    return (figure(tick, "seconds") or 0.0) + (figure(tick, "aside_seconds") or 0.0)


def _require_run(path: Path, *, is_training: bool) -> None:
    try:
        if not path.exists():
            raise InputError(f"There is no run {path}.", "Name the folder that 'facegen train' writes to.")
        if not path.is_dir():
            raise InputError(f"{path} is a file, not a run.", "Name the folder that 'facegen train' writes to.")
        if is_training or (path / RECIPE).exists() or (path / LOG).exists():
            return
        inside = sorted(each.parent for each in path.glob(f"*/{RECIPE}"))
    except OSError as problem:
        raise InputError(
            f"Cannot read the run {path}: {problem.strerror or problem}.", "Make the folder readable."
        ) from problem
    if inside:
        more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
        named = ", ".join(map(str, inside[:3])) + more
        raise InputError(f"{path} is a folder of runs, not a run.", f"Name the runs in it instead: {named}.")
    raise InputError(
        f"{path} is not a run: it has neither {RECIPE} nor {LOG}.", "Name the folder that 'facegen train' writes to."
    )


def scores_of(ticks: Sequence[Mapping[str, Any]]) -> tuple[str | None, tuple[RunScore, ...], int]:
    """Return the metric of the last score, the scores by that metric, and the number of scores by others."""
    scored = [(tick, value) for tick in ticks if (value := figure(tick, "score")) is not None]
    if not scored:
        return None, (), 0
    metric = scored[-1][0].get("metric")
    same = tuple(RunScore(float(tick["kimg"]), value) for tick, value in scored if tick.get("metric") == metric)
    return (metric if isinstance(metric, str) else None), same, len(scored) - len(same)


def _rollback(run: Path) -> tuple[Rollback | None, tuple[str, ...]]:
    path = run / ROLLBACK
    try:
        told = json.loads(read_regular(path, _MOST_ROLLBACK))
        start, end = figure(told, "from_kimg"), figure(told, "to_kimg")
        if start is None or end is None:
            raise ValueError("it has no from_kimg and to_kimg")
        dropped = tuple(with_score(tick) for tick in told.get("ticks") or () if figure(tick, "kimg") is not None)
        return Rollback(start, end, str(told.get("reason") or ""), figure(told, "rate_factor"), dropped), ()
    except FileNotFoundError:
        return None, ()
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None, (f"{path} is damaged, so the rollback of the run is not shown.",)


def _last(ticks: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return next((value for tick in reversed(ticks) if (value := figure(tick, name)) is not None), None)


def _is_over(recipe: Recipe | None, ticks: Sequence[Mapping[str, Any]]) -> bool:
    if recipe is None or not ticks:
        return False
    if recipe.minutes:
        return elapsed(ticks[-1]) >= 60 * recipe.minutes - 0.5
    return bool(ticks[-1]["kimg"] >= recipe.kimg - 1e-6)


def _state(
    recipe: Recipe | None, ticks: Sequence[Mapping[str, Any]], held: bool | None, last_tick: float | None
) -> State:
    if _is_over(recipe, ticks) and not held:
        return "finished"
    if held is None:
        steps = [elapsed(b) - elapsed(a) for a, b in pairwise(ticks[-PACE_TICKS:])]
        usual = statistics.median(steps) if steps else 0.0
        held = last_tick is not None and time.time() - last_tick < max(QUIET_SECONDS, QUIET_TICKS * usual)
    if held:
        return "training" if ticks else "beginning"
    return "stopped"


def _seconds_left(recipe: Recipe | None, ticks: Sequence[Mapping[str, Any]]) -> float | None:
    if recipe is None or not ticks:
        return None
    last = ticks[-1]
    if recipe.minutes:
        return max(0.0, 60 * recipe.minutes - elapsed(last))
    first = ticks[-min(len(ticks), PACE_TICKS + 1)]
    shown, took = last["kimg"] - first["kimg"], elapsed(last) - elapsed(first)
    if shown > 0 and took > 0:
        per_kimg: float | None = took / shown
    else:
        per_kimg = figure(last, "sec_per_kimg")
    return None if per_kimg is None else max(0.0, recipe.kimg - last["kimg"]) * per_kimg
