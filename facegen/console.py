"""The only place that prints: progress and messages on stderr, results on stdout.

Whatever is printed is fit to be shown (:func:`facegen.printable.printable`), in the characters that the stream has, and
printing it never raises, with one exception: a result that cannot be written is an error.

In a notebook messages are plain text on stdout, or in the live display where there is one: Jupyter puts stderr on a red
ground, as if something were wrong, and nobody pipes a cell's stdout, so that there is nothing to keep it clean for.

``NO_COLOR`` and a redirected stderr turn styling off; rich sees to both. Rich is imported on first use, so that
``facegen --help`` stays quick.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO, cast

from facegen import notebook
from facegen.errors import EnvironmentProblem, FacegenError
from facegen.language import Message, translate
from facegen.printable import json_text, plainer, printable, printable_lines, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

QUIET, NORMAL, VERBOSE = -1, 0, 1
_verbosity = NORMAL
_live: Console | None = None
#: A reader that went away, as ``head`` does. Windows calls it an invalid argument.
_NO_READER = frozenset({errno.EPIPE, errno.ESHUTDOWN, *([errno.EINVAL] if os.name == "nt" else [])})
#: Characters of a word (a name, a path), and of a message, that are shown.
_WORD, _MESSAGE = 400, 4000
#: Seconds between two lines of progress where there is no terminal to show a bar.
_LINE_EVERY = 60.0
_WARNING = "yellow"
_lines = False


def set_verbosity(level: int) -> None:
    """``QUIET`` keeps warnings, errors and results only; ``VERBOSE`` adds details."""
    global _verbosity
    _verbosity = level


def is_verbose() -> bool:
    return _verbosity >= VERBOSE


def is_quiet() -> bool:
    return _verbosity <= QUIET


class _Stream:
    """A standard stream that takes every character and, where it can, every fate of what is beneath.

    What the encoding lacks is written in plainer words. Messages that cannot be written are lost, and so are results
    that nobody reads any more, as when ``head`` has seen enough: the work is worth more. A result that finds no place
    raises EnvironmentProblem.
    """

    #: What it takes. Click writes around a stream that calls itself ASCII, and rich draws other boxes.
    encoding = "utf-8"

    def __init__(self, beneath: TextIO, *, results: bool) -> None:
        self._beneath, self._results, self._lost = beneath, results, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)

    @property
    def is_unicode(self) -> bool:
        """Whether the encoding beneath has every character."""
        encoding = getattr(self._beneath, "encoding", None)
        return encoding is None or encoding.lower().startswith("utf")

    @property
    def is_terminal(self) -> bool:
        try:
            return bool(self._beneath.isatty())
        except (AttributeError, ValueError):  # no such method, or closed
            return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"it takes str, not {type(text).__name__}")  # Click asks by writing nothing, as bytes
        fit = plainer(text, getattr(self._beneath, "encoding", None))
        if fit:  # or a full disk refuses nothing at all, when Click asks by writing nothing, as str
            self._try(lambda: self._beneath.write(fit))
        return len(text)

    def flush(self) -> None:
        self._try(self._beneath.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self._lost or getattr(self._beneath, "closed", False):
            return
        try:
            action()
        except OSError as problem:
            self._lost = True
            _discard(self._beneath)
            if self._results and problem.errno not in _NO_READER:
                raise EnvironmentProblem(
                    f"The result cannot be written to stdout: {problem.strerror or problem}.",
                    "Make room, or send stdout elsewhere.",
                ) from problem


def _discard(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere, or Python fails once more as it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # no file of the system's: there is nothing that Python would flush


def _stdout() -> _Stream | None:
    return _stream(sys.stdout, results=True)


def _stderr() -> _Stream | None:
    return _stream(sys.stderr, results=False)


def _stream(stream: TextIO | _Stream | None, *, results: bool) -> _Stream | None:
    """The stream as it is now, for tests and callers replace sys.stdout and sys.stderr; None where it was closed."""
    return stream if stream is None or isinstance(stream, _Stream) else _Stream(stream, results=results)


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Inside, what others print (Click its help, libraries their warnings) is written as everything here is."""
    before, formatted = (sys.stdout, sys.stderr), warnings.formatwarning
    sys.stdout, sys.stderr = cast(TextIO, _stdout()), cast(TextIO, _stderr())
    warnings.formatwarning = lambda *words, **options: printable_lines(formatted(*words, **options))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        warnings.formatwarning = formatted


@cache
def _words_console() -> type[Console]:
    """rich's console, for which a string is words: never markup, never emoji, and fit to be shown."""
    from rich.console import Console
    from rich.text import Text

    class WordsConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    return WordsConsole


def _console(stderr: bool, *, soft_wrap: bool = True, width: int | None = None) -> Console:
    # While a progress display runs, messages go through its console, so that they appear above the bar.
    if stderr and _live is not None:
        return _live
    # Made anew each time, as its stream is. A closed one is None for rich too, which then prints nothing.
    file = cast("TextIO | None", _stderr() if stderr else _stdout())
    return _words_console()(
        file=file,
        stderr=stderr,
        highlight=False,
        soft_wrap=soft_wrap,
        emoji=False,
        markup=False,
        width=width,
        force_jupyter=False,  # or rich would pass the stream over, and show each line as an output of its own
    )


def _print(stream: _Stream | None, text: str) -> None:
    if stream is not None:  # which is where it was closed, as by >&-
        print(text, file=cast(TextIO, stream), flush=True)


def fit_message(message: str) -> str:
    """A message as it is shown: one line, fit to be seen, without the middle of words of many hundred characters."""
    words = re.sub(r"\S+", lambda word: shortened(word[0], _WORD), printable(message))
    return shortened(words, _MESSAGE)


def _say(message: str, style: str | None = None) -> None:
    fit = fit_message(message)
    if notebook.is_on():
        _say_in_notebook(fit, is_warning=style == _WARNING)
        return
    try:
        _console(stderr=True).print(fit, style=style)
    except ImportError:  # of rich, which is to be said as well
        _print(_stderr(), fit)


def _say_in_notebook(fit: str, *, is_warning: bool) -> None:
    from facegen.notebook import live

    if not live.hear(fit, is_warning=is_warning):
        _print(_stdout(), fit)


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
    is_translated = isinstance(message, Message)
    said = translate("warning: {message}", message=message) if is_translated else f"warning: {message}"
    _say(said, style=_WARNING)


def error(problem: FacegenError) -> None:
    """An expected failure on stderr: the sentence, then the remedy."""
    is_translated = isinstance(problem.message, Message) or isinstance(problem.remedy, Message)
    said = translate("error: {message}", message=str(problem)) if is_translated else f"error: {problem}"
    _say(said, style="bold red")


def defect(problem: BaseException, message: str, versions: str) -> None:
    """An unexpected failure on stderr: ``message``, then the whole traceback and ``versions`` beneath, for a report."""
    _say(f"error: {message}", style="bold red")
    trace = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    _print(_stderr(), printable_lines(f"{trace}{versions}"))


def result(*lines: str) -> None:
    """A result on stdout, of one line or several. A line break within a line is none: it is spelt out."""
    _print(_stdout(), "\n".join(map(printable, lines)))


def result_json(value: Mapping[str, Any]) -> None:
    """A result as JSON on stdout, valid in any encoding; NaN and infinity are refused, for they are not JSON."""
    stream = _stdout()
    _print(stream, json_text(value, ascii_only=stream is not None and not stream.is_unicode))


def result_table(table: Table, *, whole: bool = False) -> None:
    """A rich table on stdout; its cells, title and caption are strings.

    With ``whole`` it is as wide as it needs to be where stdout is no terminal: a file or a pager has no columns to keep
    to. On a terminal too narrow for its longest words its lines run on: a figure is never cut.
    """
    console = _console(stderr=False)
    needed = _console(stderr=False, width=1000).measure(table)
    if whole and not console.is_terminal:
        table.width = needed.maximum
    elif console.width < needed.minimum:
        table.width = needed.minimum
    console.print(table)


def columns() -> int | None:
    """The width of the terminal that stdout is; None where it is none."""
    console = _console(stderr=False)
    return console.width if console.is_terminal else None


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
        self._progress.update(self._id, note=printable(text))


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
        left = time_left(self._done, self._before, self._total, now - self._began)
        return state if left is None else f"{state}, {left} left"


def time_left(done: float, before: float, total: float | None, seconds: float) -> str | None:
    """The time to the end of a piece of work at its pace so far, in words; None where there is no telling.

    ``before`` of the ``done`` parts were done earlier; the others took so many ``seconds``.
    """
    if total is None or not before < done < total:
        return None
    return duration(seconds * (total - done) / (done - before))


def duration(seconds: float) -> str:
    """A time ahead, as exactly as anyone knows it: ``"5 minutes"``, ``"2 hours 10 minutes"``, ``"14 hours"``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60) if minutes < 600 else (round(minutes / 60), 0)
    parts = [(hours, "hour"), (rest, "minute")]
    return " ".join(f"{count:,} {unit}{'s' * (count != 1)}" for count, unit in parts if count)


@contextmanager
def progress(description: str, total: float | None, unit: str = "images", done: int = 0) -> Iterator[Task]:
    """A progress bar on stderr with count, rate (``unit``/s) and time left; nothing when quiet.

    Where stderr is no terminal it is a line a minute, and in a notebook a bar of its live display. ``done`` of the
    ``total`` were done before, and do not count towards the rate. Inside another progress display it is silent: one at
    a time tells the story.
    """
    global _live, _lines
    if is_quiet() or _live is not None or _lines:
        yield Task()
        return
    if notebook.is_on():
        from facegen.notebook import live

        with live.bar(description, total, unit, done) as task:
            yield task
        return
    stderr = _stderr()
    # rich draws no bar on a terminal that calls itself dumb, as Emacs' does.
    if stderr is None or not stderr.is_terminal or _console(stderr=True).is_dumb_terminal:
        _lines = True
        try:
            yield _Lines(total, description, unit, done)
        finally:
            _lines = False
        return
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

    console = _console(stderr=True, soft_wrap=False)
    parts = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    bar = Progress(*parts, console=console, refresh_per_second=5)
    with bar:
        _live = console
        try:
            yield _Bar(bar, total, printable(description), unit, done)
        finally:
            _live = None
