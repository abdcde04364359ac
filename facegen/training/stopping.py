"""Ctrl-C and SIGTERM while a run trains."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from facegen import console

Result = TypeVar("Result")


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and was saved."""


class _BrokenOff(BaseException):
    """The work at hand is given up for a request to stop; it leaves :meth:`StopRequests.unless_asked` as None."""


class StopRequests:
    """Requests to stop: ``is_asked`` says whether there was one. What a request does depends on when it comes.

    - Until :meth:`begin` there is nothing to save, and the first breaks off at once: KeyboardInterrupt.
    - After it the first lets the step at hand end, so that it can be saved. A cluster that sends SIGTERM kills a few
      seconds later, so it does not wait for what is done in :meth:`unless_asked`, which is given up.
    - The second breaks off at once, whatever goes on.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._has_begun = self._may_give_up = False

    def begin(self) -> None:
        """From here on there is something to save."""
        self._has_begun = True

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take a request to stop, as the handler of a signal does."""
        if self.is_asked or not self._has_begun:
            raise KeyboardInterrupt
        self.is_asked = True
        # By another thread: this one may be in the middle of a message, and a stream is not to be entered twice.
        words = "Stopping after this step, to save; once more breaks it off at once."
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
    """Inside, Ctrl-C and SIGTERM are requests to stop. In a thread that is not the main one there are none."""
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, requests.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
