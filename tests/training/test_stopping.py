"""Requests to stop, most of them made by hand."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from facegen.training.stopping import SAME_REQUEST, StopRequests, stop_requests


def test_before_there_is_anything_to_save_a_request_breaks_off() -> None:
    with pytest.raises(KeyboardInterrupt):
        StopRequests().request()


def test_the_first_request_is_noted_and_the_second_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr("facegen.training.stopping.time.monotonic", lambda: seconds[0])
    stop = StopRequests()
    stop.begin()
    stop.request()
    assert stop.is_asked
    seconds[0] += SAME_REQUEST
    with pytest.raises(KeyboardInterrupt):
        stop.request()


def asked(times: int) -> Callable[[], str]:
    stop = StopRequests()
    stop.begin()

    def work() -> str:
        for _ in range(times):
            stop.request()
        return "done"

    return lambda: f"{stop.unless_asked(work)}, {stop.unless_asked(lambda: 'more')}"


@pytest.mark.parametrize(("times", "comes_of_it"), [(0, "done, more"), (1, "None, None")])
def test_what_is_not_worth_waiting_for_is_given_up(times: int, comes_of_it: str) -> None:
    assert asked(times)() == comes_of_it


def test_what_comes_with_the_first_request_is_the_first() -> None:
    """As of torchrun, which passes on what the terminal sends to all."""
    stop = StopRequests()
    stop.begin()
    stop.request()
    stop.request()
    assert stop.is_asked


def test_words_that_find_no_thread_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    stop = StopRequests()
    stop.begin()
    stop.request()
    assert stop.is_asked


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has none")
@pytest.mark.parametrize(("before", "is_asked"), [(signal.default_int_handler, True), (signal.SIG_IGN, False)])
def test_a_terminal_that_is_closed_asks_to_stop_unless_that_is_ignored(before: Any, is_asked: bool) -> None:
    outside = signal.signal(signal.SIGHUP, before)
    try:
        with stop_requests() as stop:
            stop.begin()
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.is_asked is is_asked and signal.getsignal(signal.SIGHUP) is before
    finally:
        signal.signal(signal.SIGHUP, outside)
