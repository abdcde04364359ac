"""The live display of a cell: a progress bar, content below it, and messages. It updates in place every second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from markupsafe import Markup

from facegen import console
from facegen.errors import in_words
from facegen.notebook.cards import block, fit, notes

#: Seconds between two updates of the page, and seconds before a bar appears, because short work needs none.
_EVERY, _SOON = 1.0, 0.5
#: Maximum number of visible messages, and of warnings.
_LINES, _WARNINGS = 4, 12

_live: Live | None = None


class Output:
    """An output of the cell that is replaced in place. A saved notebook holds only its last state.

    It works without an open page too. If the kernel cannot send an update, one warning says so and the work continues.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self.is_lost = False

    def show(self, html: str, text: str) -> None:
        """Replace the output by this HTML. ``text`` is for front ends that cannot show HTML."""
        if self.is_lost:
            return
        bundle = {"text/html": html, "text/plain": text}
        try:
            if self._handle is None:
                from IPython.display import display

                self._handle = display(bundle, raw=True, display_id=True)
            else:
                self._handle.update(bundle, raw=True)
        except Exception as problem:  # noqa: BLE001 - the sockets and the page's end of them are anybody's
            self.is_lost = True
            console.warn(f"The notebook's display fails ({in_words(problem)}): the work goes on without it.")

    @property
    def is_shown(self) -> bool:
        return self._handle is not None


class Live:
    """The display of a running cell.

    Args:
        kimg: Count images in thousands, as training does.
    """

    def __init__(self, *, kimg: bool = False) -> None:
        self.kimg = kimg
        self.bar: Bar | None = None
        self._inside = Markup()
        self._output = Output()
        self._told = monotonic() - (_EVERY - _SOON)
        self._warnings: list[str] = []
        self._lines: deque[str] = deque(maxlen=_LINES)

    def put(self, inside: Markup) -> None:
        """Replace the content below the bar."""
        self._inside = inside
        self.refresh()

    def hear(self, message: str, *, is_warning: bool) -> bool:
        """Add a message to the display. Return False if there is no display for it.

        The message appears with the next update, because another thread may have sent it.
        """
        if self._output.is_lost or not self._output.is_shown:
            return False
        if is_warning:
            self._warnings = [*self._warnings, message][-_WARNINGS:]
        else:
            self._lines.append(message)
        return True

    def refresh(self, *, at_once: bool = False) -> None:
        """Update the page if the last update is a second old."""
        now = monotonic()
        if at_once or now - self._told >= _EVERY:
            self._told = now
            bar = Markup() if self.bar is None else self.bar.html(now)
            lines = "\n".join(self._lines)
            said = Markup("<pre>{}</pre>").format(fit_lines(lines)) if lines else Markup()
            text = "" if self.bar is None else self.bar.text(now)
            self._output.show(str(block(bar, self._inside, notes(self._warnings), said)), text)

    def end(self) -> None:
        """Send the last state if the display was ever shown. Work that was done at once leaves no output."""
        if self._output.is_shown:
            self.refresh(at_once=True)


def fit_lines(text: str) -> Markup:
    return Markup("\n").join(map(fit, text.split("\n")))


class Bar(console.Task):
    """A progress bar of a live display, with the count, the rate and the time left."""

    def __init__(self, live: Live, description: str, total: float | None, unit: str, done: float) -> None:
        self._live, self._description, self._total, self._unit = live, description, total, unit
        self._before = self._done = float(done)
        self._began, self._note = monotonic(), ""
        self._ended: str | None = None

    def advance(self, steps: float = 1) -> None:
        self._done += steps
        self._live.refresh()

    def expect(self, total: float) -> None:
        self._total = total

    def note(self, text: str) -> None:
        self._note = text

    def end(self, how: str) -> None:
        """Finish the bar. ``how`` is a word for how the work ended."""
        took = console.duration(monotonic() - self._began)
        self._ended = f"{how} {took}"

    def state(self, now: float) -> str:
        """Return the state in words, to be shown beside the bar."""
        scale, unit = (1000, "kimg") if self._live.kimg else (1, self._unit)
        parts = [f"{self._done / scale:,.5g} {unit}" if self._live.kimg else f"{self._done:,.0f} {unit}"]
        if self._total is not None:
            whole = f"{self._total / scale:,.5g}" if self._live.kimg else f"{self._total:,.0f}"
            parts = [f"{parts[0].partition(' ')[0]} of {whole} {unit}"]
        seconds = now - self._began
        if self._done > self._before and seconds > 0:
            parts.append(f"{(self._done - self._before) / seconds:,.0f} {self._unit}/s")
        left = console.time_left(self._done, self._before, self._total, seconds)
        if self._ended is not None:
            parts.append(self._ended)
        elif left is not None:
            parts.append(f"{left} left")
        return " · ".join([*parts, *([self._note] if self._note else [])])

    def text(self, now: float) -> str:
        return f"{self._description}: {self.state(now)}"

    def html(self, now: float) -> Markup:
        share = Markup()
        if self._total:
            width = f"{min(100.0, 100 * self._done / self._total):.1f}"
            share = Markup('<div class="track"><div style="width:{}%"></div></div>').format(width)
        return Markup('<p class="title">{}</p>{}<p class="state">{}</p>').format(
            fit(self._description), share, fit(self.state(now))
        )


def open_live(*, kimg: bool = False) -> Live:
    """Open a display for the next bar. :func:`close_live` closes it."""
    global _live
    _live = Live(kimg=kimg)
    _live.refresh(at_once=True)
    return _live


def close_live(live: Live) -> None:
    """Send the display's last state and stop collecting messages."""
    global _live
    live.end()
    if _live is live:
        _live = None


@contextmanager
def bar(description: str, total: float | None, unit: str, done: float) -> Iterator[console.Task]:
    """Show a bar in the open display, or in a new one. Inside another bar it shows nothing."""
    global _live
    if _live is not None and _live.bar is not None:
        yield console.Task()
        return
    own = _live is None
    live = _live = _live or Live()
    live.bar = Bar(live, description, total, unit, done)
    try:
        yield live.bar
    except BaseException:
        live.bar.end("stopped after")
        raise
    else:
        live.bar.end("done in")
    finally:
        if own:
            close_live(live)


def hear(message: str, *, is_warning: bool) -> bool:
    """Add a message to the open display. Return False if there is none."""
    return _live is not None and _live.hear(message, is_warning=is_warning)
