"""Ctrl-C, SIGTERM and a terminal that is closed, while a run trains."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from facegen import console

Result = TypeVar("Result")

#: Seconds in which a second request is the first one: torchrun passes on what the terminal has sent to all, and a
#: terminal that is closed tells its programs as the shell does.
SAME_REQUEST = 1.0


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and was saved."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback: nothing went wrong."""
        return ["Stopped, and saved: the same cell goes on from here."]


class _BrokenOff(BaseException):
    """The work at hand is given up for a request to stop; it leaves :meth:`StopRequests.unless_asked` as None."""


class StopRequests:
    """Requests to stop: ``is_asked`` says whether there was one. What a request does depends on when it comes.

    - Until :meth:`begin` there is nothing to save, and the first breaks off at once: KeyboardInterrupt.
    - After it the first lets the step at hand end, so that it can be saved. A cluster that sends SIGTERM kills a few
      seconds later, so it does not wait for what is done in :meth:`unless_asked`, which is given up.
    - The second breaks off at once, whatever goes on, unless it comes with the first.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._has_begun = self._may_give_up = False
        self._asked_at = 0.0

    def begin(self) -> None:
        """From here on there is something to save."""
        self._has_begun = True

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take a request to stop, as the handler of a signal does."""
        if self.is_asked and time.monotonic() - self._asked_at < SAME_REQUEST:
            return
        if self.is_asked or not self._has_begun:
            raise KeyboardInterrupt
        self.is_asked, self._asked_at = True, time.monotonic()
        # By another thread: this one may be in the middle of a message, and a stream is not to be entered twice.
        words = "Stopping after this step, to save; once more breaks it off at once."
        with suppress(RuntimeError):  # there may be no more threads, and the words are worth less than the run
            threading.Thread(target=console.info, args=(words,)).start()
        if self._may_give_up:
            raise _BrokenOff

    def unless_asked(self, work: Callable[[], Result]) -> Result | None:
        """What ``work`` returns; None where a request to stop is there, or comes and breaks it off."""
        try:
            self._may_give_up = True
            try:
                return None if self.is_asked else work()
            finally:
                self._may_give_up = False
        except _BrokenOff:
            self._may_give_up = False
            return None


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP are requests to stop. In a thread that is not the main one there are none.

    SIGHUP, of a terminal that is closed, stays ignored where it is, as under nohup; Windows has none.
    """
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread may handle signals
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, requests.request) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
