"""The only place that prints: progress and messages on stderr, results on stdout.

``NO_COLOR`` and a redirected stderr turn styling off; rich sees to both. Rich is imported on first use, so that
``facegen --help`` stays quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from facegen.errors import FacegenError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

QUIET, NORMAL, VERBOSE = -1, 0, 1
_verbosity = NORMAL
_live: Console | None = None
#: Seconds between two lines of progress where there is no terminal to show a bar.
_LINE_EVERY = 60.0
_lines = False


def set_verbosity(level: int) -> None:
    """``QUIET`` keeps warnings, errors and results only; ``VERBOSE`` adds details."""
    global _verbosity
    _verbosity = level


def is_verbose() -> bool:
    return _verbosity >= VERBOSE


def is_quiet() -> bool:
    return _verbosity <= QUIET


def _console(stderr: bool) -> Console:
    from rich.console import Console

    # While a progress display runs, messages go through its console, so that they appear above the bar.
    if stderr and _live is not None:
        return _live
    # Made anew each time: tests and callers may have replaced sys.stdout or sys.stderr since.
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)


def _say(message: str, style: str | None = None) -> None:
    _console(stderr=True).print(message, style=style, markup=False)


def info(message: str) -> None:
    """One line of the story, on stderr; silent under ``--quiet``."""
    if not is_quiet():
        _say(message)


def detail(message: str) -> None:
    """A line for ``--verbose``, on stderr."""
    if is_verbose():
        _say(message, style="dim")


def warn(message: str) -> None:
    """A warning on stderr; shown under ``--quiet`` too."""
    _say(f"warning: {message}", style="yellow")


def error(problem: FacegenError) -> None:
    """An expected failure on stderr: the sentence, then the remedy."""
    _say(f"error: {problem}", style="bold red")


def result(text: str) -> None:
    """One line of result on stdout."""
    print(text, flush=True)  # which does nothing where stdout was closed, as >&- does


def result_json(value: Mapping[str, Any]) -> None:
    """A result as JSON on stdout; NaN and infinity are refused, for they are not JSON."""
    result(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def result_table(table: RenderableType) -> None:
    """A rich table (or any rich renderable) on stdout."""
    _console(stderr=False).print(table)


class Task:
    """What is done of a piece of work: ``advance`` it, and ``note`` short figures beside it."""

    def advance(self, steps: float = 1) -> None:
        """So much more is done."""

    def expect(self, total: float) -> None:
        """The work's end, where it was not known at the start."""

    def note(self, text: str) -> None:
        """A short figure beside the bar."""


class _Bar(Task):
    """A bar on a terminal."""

    def __init__(self, progress: Progress, total: float | None, description: str, unit: str, done: int) -> None:
        self._progress = progress
        self._id = progress.add_task(description, total=total, completed=done, unit=unit, note="")

    def advance(self, steps: float = 1) -> None:
        self._progress.advance(self._id, steps)

    def expect(self, total: float) -> None:
        self._progress.update(self._id, total=total)

    def note(self, text: str) -> None:
        self._progress.update(self._id, note=text)


class _Lines(Task):
    """A line a minute, for a log."""

    def __init__(self, total: float | None, description: str, unit: str, done: float) -> None:
        self._total, self._description, self._unit = total, description, unit
        self._done: float = done
        self._before = done
        self._began = self._told = monotonic()

    def advance(self, steps: float = 1) -> None:
        self._done += steps
        now = monotonic()
        if now - self._told >= _LINE_EVERY:
            self._told = now
            info(f"{self._description}: {self._state(now)}.")

    def expect(self, total: float) -> None:
        self._total = total

    def _state(self, now: float) -> str:
        if self._total is None:
            return f"{self._done:,.0f} {self._unit}"
        state = f"{self._done:,.0f} of {self._total:,.0f} {self._unit}"
        if not self._before < self._done < self._total:
            return state
        left = (now - self._began) * (self._total - self._done) / (self._done - self._before)
        return f"{state}, {_in_words(left)} left"


def _in_words(seconds: float) -> str:
    """A time ahead, to the minute: ``"5 minutes"``, ``"2 hours 10 minutes"``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    parts = [(hours, "hour"), (rest, "minute")]
    return " ".join(f"{count} {unit}{'s' * (count != 1)}" for count, unit in parts if count)


@contextmanager
def progress(description: str, total: float | None, unit: str = "images", done: int = 0) -> Iterator[Task]:
    """A progress bar on stderr with count, rate (``unit``/s) and time left; nothing when quiet.

    Where stderr is no terminal it is a line a minute. ``done`` of the ``total`` were done before, and do not count
    towards the rate. Inside another progress display it is silent: one at a time tells the story.
    """
    global _live, _lines
    if is_quiet() or _live is not None or _lines:
        yield Task()
        return
    if sys.stderr is None or not sys.stderr.isatty():
        _lines = True
        try:
            yield _Lines(total, description, unit, done)
        finally:
            _lines = False
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")

    console = Console(stderr=True, highlight=False, emoji=False)
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    bar = Progress(*columns, console=console, refresh_per_second=5)
    with bar:
        _live = console
        try:
            yield _Bar(bar, total, description, unit, done)
        finally:
            _live = None
