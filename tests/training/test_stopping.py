"""Requests to stop, made by hand: no signal is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from facegen.training.stopping import StopRequests


def test_before_there_is_anything_to_save_a_request_breaks_off() -> None:
    with pytest.raises(KeyboardInterrupt):
        StopRequests().request()


def test_the_first_request_is_noted_and_the_second_breaks_off() -> None:
    stop = StopRequests()
    stop.begin()
    stop.request()
    assert stop.is_asked
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
