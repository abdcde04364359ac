"""Requests to stop a run while it trains: Ctrl-C, SIGTERM, and a terminal that is closed."""

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

#: Seconds in which a repeated request counts as the same one. torchrun passes on the signal that the terminal has
#: sent to every process already. When a terminal is closed, both it and the shell send a signal.
SAME_REQUEST = 1.0


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and a checkpoint was saved."""

    def _render_traceback_(self) -> list[str]:
        """Return the text that a notebook shows in place of a traceback, because nothing went wrong."""
        return ["Stopped and saved. Run the same cell again to continue."]


class _BrokenOff(BaseException):
    """The present work is abandoned for a request to stop. :meth:`StopRequests.unless_asked` then returns None."""


class StopRequests:
    """Requests to stop a run. ``is_asked`` tells whether there was one.

    The effect of a request depends on when it comes:

    - Before :meth:`begin` there is nothing to save. The first request stops at once with KeyboardInterrupt.
    - After :meth:`begin`, the first request lets the present step finish, so that it can be saved. Work inside
      :meth:`unless_asked` is abandoned, because a cluster that sends SIGTERM kills the process a few seconds later.
    - A second request stops at once in any case, unless it comes together with the first.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._has_begun = self._may_give_up = False
        self._asked_at = 0.0

    def begin(self) -> None:
        """Note that from now on there is something to save."""
        self._has_begun = True

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take a request to stop. This method is the handler of the signals."""
        if self.is_asked and time.monotonic() - self._asked_at < SAME_REQUEST:
            return
        if self.is_asked or not self._has_begun:
            raise KeyboardInterrupt
        self.is_asked, self._asked_at = True, time.monotonic()
        # Another thread prints the message, because this one may be in the middle of writing to the same stream.
        words = "Stopping after this step to save a checkpoint. A second request stops at once, without saving."
        with suppress(RuntimeError):  # If no thread can be started, the message is lost, but the run is not.
            threading.Thread(target=console.info, args=(words,)).start()
        if self._may_give_up:
            raise _BrokenOff

    def unless_asked(self, work: Callable[[], Result]) -> Result | None:
        """Return the result of ``work``; None if a request to stop has come, or comes and interrupts the work."""
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
    """Treat Ctrl-C, SIGTERM and SIGHUP as requests to stop within the block.

    A thread other than the main thread receives no signals, so it has no requests. A SIGHUP that is ignored, as under
    nohup, stays ignored. Windows has no SIGHUP.
    """
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests  # Python allows signal handlers only in the main thread.
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
