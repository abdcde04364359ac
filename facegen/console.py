"""All printing: progress and messages go to stderr, results to stdout.

Every text is made printable first (:func:`facegen.printable.printable`) and reduced to characters that the stream can
encode. Printing never raises, with one exception: a result that cannot be written is an error.

In a notebook, messages are plain text on stdout, or part of the live display. Jupyter shows stderr on a red
background, as if something were wrong, and nobody pipes the stdout of a cell.

``NO_COLOR`` and a redirected stderr turn colours off. Rich handles both. It is imported on first use, so that
``facegen --help`` stays fast.
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
#: Error numbers of a pipe whose reader has closed it, as ``head`` does. Windows reports an invalid argument.
_NO_READER = frozenset({errno.EPIPE, errno.ESHUTDOWN, *([errno.EINVAL] if os.name == "nt" else [])})
#: Maximum number of characters shown of a word (a name, a path) and of a message.
_WORD, _MESSAGE = 400, 4000
#: Seconds between two progress lines when there is no terminal to draw a bar on.
_LINE_EVERY = 60.0
_WARNING = "yellow"
_lines = False


def set_verbosity(level: int) -> None:
    """Set how much is printed: ``QUIET`` keeps warnings, errors and results; ``VERBOSE`` adds details."""
    global _verbosity
    _verbosity = level


def is_verbose() -> bool:
    return _verbosity >= VERBOSE


def is_quiet() -> bool:
    return _verbosity <= QUIET


class _Stream:
    """A standard stream that accepts every character and does not fail.

    Characters that the encoding lacks are replaced by plainer ones. Messages that cannot be written are dropped. So
    are results that nobody reads any more, for example after ``head`` has exited: the work matters more. A result
    that cannot be written for another reason raises EnvironmentProblem.
    """

    #: The encoding that it reports. For a stream that reports ASCII, Click would wrap it and rich would draw other
    #: boxes.
    encoding = "utf-8"

    def __init__(self, beneath: TextIO, *, results: bool) -> None:
        self._beneath, self._results, self._lost = beneath, results, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)

    @property
    def is_unicode(self) -> bool:
        """Return whether the underlying encoding has every character."""
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
        if fit:  # Click writes an empty str to test the stream, which even a full disk accepts
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
    """Redirect what the stream still buffers to the null device. Otherwise Python fails again when it exits."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # the stream is no file of the operating system, so Python flushes nothing


def _stdout() -> _Stream | None:
    return _stream(sys.stdout, results=True)


def _stderr() -> _Stream | None:
    return _stream(sys.stderr, results=False)


def _stream(stream: TextIO | _Stream | None, *, results: bool) -> _Stream | None:
    """Return the current stream, because tests and callers replace sys.stdout and sys.stderr. None if it was closed."""
    return stream if stream is None or isinstance(stream, _Stream) else _Stream(stream, results=results)


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Inside the block, treat what others print (Click's help, warnings of libraries) like everything printed here."""
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
    """Return a rich console that prints strings literally: without markup, without emoji, and made printable."""
    from rich.console import Console
    from rich.text import Text

    class WordsConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    return WordsConsole


def _console(stderr: bool, *, soft_wrap: bool = True, width: int | None = None) -> Console:
    # While a progress display is active, messages go through its console, so that they appear above the bar.
    if stderr and _live is not None:
        return _live
    # Created for each message, because the stream can change. rich prints nothing to a closed stream (None).
    file = cast("TextIO | None", _stderr() if stderr else _stdout())
    return _words_console()(
        file=file,
        stderr=stderr,
        highlight=False,
        soft_wrap=soft_wrap,
        emoji=False,
        markup=False,
        width=width,
        force_jupyter=False,  # otherwise rich ignores the stream and shows each line as an output of its own
    )


def _print(stream: _Stream | None, text: str) -> None:
    if stream is not None:  # None if it was closed, for example by >&-
        print(text, file=cast(TextIO, stream), flush=True)


def fit_message(message: str) -> str:
    """Return a message as one printable line, with the middle of very long words cut out."""
    words = re.sub(r"\S+", lambda word: shortened(word[0], _WORD), printable(message))
    return shortened(words, _MESSAGE)


def _say(message: str, style: str | None = None) -> None:
    fit = fit_message(message)
    if notebook.is_on():
        _say_in_notebook(fit, is_warning=style == _WARNING)
        return
    try:
        _console(stderr=True).print(fit, style=style)
    except ImportError:  # rich itself is missing, and that message must be shown too
        _print(_stderr(), fit)


def _say_in_notebook(fit: str, *, is_warning: bool) -> None:
    from facegen.notebook import live

    if not live.hear(fit, is_warning=is_warning):
        _print(_stdout(), fit)


def info(message: str) -> None:
    """Print a message to stderr, unless ``--quiet``."""
    if not is_quiet():
        _say(message)


def detail(message: str) -> None:
    """Print a message to stderr with ``--verbose`` only."""
    if is_verbose():
        _say(message, style="dim")


def warn(message: str) -> None:
    """Print a warning to stderr, even with ``--quiet``."""
    is_translated = isinstance(message, Message)
    said = translate("warning: {message}", message=message) if is_translated else f"warning: {message}"
    _say(said, style=_WARNING)


def error(problem: FacegenError) -> None:
    """Print an expected failure to stderr: the sentence, then the remedy."""
    is_translated = isinstance(problem.message, Message) or isinstance(problem.remedy, Message)
    said = translate("error: {message}", message=str(problem)) if is_translated else f"error: {problem}"
    _say(said, style="bold red")


def defect(problem: BaseException, message: str, versions: str) -> None:
    """Print an unexpected failure to stderr: ``message``, the whole traceback, and ``versions`` for a bug report."""
    _say(f"error: {message}", style="bold red")
    trace = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    _print(_stderr(), printable_lines(f"{trace}{versions}"))


def result(*lines: str) -> None:
    """Print a result of one or several lines to stdout. A line break within a line is printed as an escape."""
    _print(_stdout(), "\n".join(map(printable, lines)))


def result_json(value: Mapping[str, Any]) -> None:
    """Print a result as JSON to stdout. The text is valid in any encoding.

    Raises:
        ValueError: The result contains NaN or infinity, which JSON does not have.
    """
    stream = _stdout()
    _print(stream, json_text(value, ascii_only=stream is not None and not stream.is_unicode))


def result_table(table: Table, *, whole: bool = False) -> None:
    """Print a rich table, whose cells, title and caption are strings, to stdout.

    Args:
        whole: Make the table as wide as its content when stdout is not a terminal, because a file has no columns to
            keep to. On a terminal that is too narrow for the longest words, lines run on: a number is never cut.
    """
    console = _console(stderr=False)
    needed = _console(stderr=False, width=1000).measure(table)
    if whole and not console.is_terminal:
        table.width = needed.maximum
    elif console.width < needed.minimum:
        table.width = needed.minimum
    console.print(table)


def columns() -> int | None:
    """Return the width of the terminal on stdout in columns. None if stdout is not a terminal."""
    console = _console(stderr=False)
    return console.width if console.is_terminal else None


class Task:
    """The progress of a piece of work."""

    def advance(self, steps: float = 1) -> None:
        """Add completed units."""

    def expect(self, total: float) -> None:
        """Set the total if it was unknown at the start."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar."""


class _Bar(Task):
    """A progress bar on a terminal."""

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
    """A progress line every minute, for a log."""

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
    """Return the time left as words, extrapolated from the pace so far. None if it cannot be told.

    ``before`` of the ``done`` units were finished earlier; the others took ``seconds``.
    """
    if total is None or not before < done < total:
        return None
    return duration(seconds * (total - done) / (done - before))


def duration(seconds: float) -> str:
    """Return an expected time as words, rounded as its uncertainty deserves.

    For example ``"5 minutes"``, ``"2 hours 10 minutes"`` or ``"14 hours"``.
    """
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60) if minutes < 600 else (round(minutes / 60), 0)
    parts = [(hours, "hour"), (rest, "minute")]
    return " ".join(f"{count:,} {unit}{'s' * (count != 1)}" for count, unit in parts if count)


@contextmanager
def progress(description: str, total: float | None, unit: str = "images", done: int = 0) -> Iterator[Task]:
    """Show a progress bar on stderr with count, rate (``unit``/s) and time left.

    Without a terminal it prints a line every minute. In a notebook it is a bar of the live display. With ``--quiet``,
    and inside another progress display, it shows nothing.

    ``done`` of the ``total`` units were finished before; they do not count towards the rate.
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
    # rich draws no bar on a terminal of type "dumb", such as Emacs'.
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
