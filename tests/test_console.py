from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from facegen import console
from facegen.errors import InputError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _normal() -> Iterator[None]:
    console.set_verbosity(console.NORMAL)
    yield
    console.set_verbosity(console.NORMAL)


def say_everything() -> None:
    console.detail("A detail.")
    console.info("A line.")
    console.warn("Mind this.")
    console.result("The result.")


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (console.QUIET, ["warning: Mind this."]),
        (console.NORMAL, ["A line.", "warning: Mind this."]),
        (console.VERBOSE, ["A detail.", "A line.", "warning: Mind this."]),
    ],
)
def test_results_go_to_stdout_and_the_rest_to_stderr_by_level(
    level: int, heard: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    console.set_verbosity(level)
    say_everything()
    captured = capsys.readouterr()
    assert captured.out == "The result.\n" and captured.err.splitlines() == heard


def test_closed_streams_hear_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with console.progress("work", 10) as task:
        task.advance(10)
    say_everything()


def test_an_error_is_its_sentence_and_remedy_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.error(InputError(f"{'long/' * 50}x.png is no image [sic].", "Use another."))
    assert capsys.readouterr().err == f"error: {'long/' * 50}x.png is no image [sic]. Use another.\n"


def test_names_between_colons_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console.info("The features custom:art:embed.")
    console.result_table("custom:art:embed")
    captured = capsys.readouterr()
    assert "custom:art:embed" in captured.err and "custom:art:embed" in captured.out


def test_json_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        console.result_json({"value": float("nan")})


def test_a_terminal_sees_count_rate_and_messages_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console.progress("work [red] :art:", 10, done=4) as task:
        task.advance(3)
        console.info("Above.")
        task.advance(3)
    shown = terminal.getvalue()
    assert "work [red] :art:" in shown and "10/10" in shown and "Above." in shown and "images/s" in shown


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    console.warn("Plain.")
    assert "\x1b[3" not in terminal.getvalue()


def test_a_file_sees_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("work", 10) as task:
        task.advance(10)
        task.note("x")
    assert capsys.readouterr().err == ""


class TestLines:
    """Where stderr is no terminal, a long piece of work says where it is once a minute."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(console, "monotonic", lambda: now[0])
        return now

    @pytest.mark.parametrize(
        ("total", "done", "lines"),
        [
            (720, 0, ["200 of 720 images, 3 minutes left", "400 of 720 images, 2 minutes left"]),
            (500, 90, ["290 of 500 images, 1 minute left", "490 of 500 images, less than a minute left"]),
            (
                27_400,
                0,
                ["200 of 27,400 images, 2 hours 16 minutes left", "400 of 27,400 images, 2 hours 15 minutes left"],
            ),
            (400, 0, ["200 of 400 images, 1 minute left", "400 of 400 images"]),
            (None, 0, ["200 images", "400 images"]),
        ],
        ids=["from the start", "going on", "hours", "the end", "no end known"],
    )
    def test_say_what_is_done_and_what_time_is_left(
        self, clock: list[float], capsys: pytest.CaptureFixture[str], total: int | None, done: int, lines: list[str]
    ) -> None:
        with console.progress("The work", total, done=done) as task:
            for _ in range(4):
                clock[0] += 30
                task.advance(100)
        assert capsys.readouterr().err.splitlines() == [f"The work: {line}." for line in lines]

    def test_are_those_of_the_outer_work_alone(self, clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
        with console.progress("Outer", 10) as outer, console.progress("Inner", 10) as inner:
            clock[0] += 60
            inner.advance()
            outer.advance()
        assert capsys.readouterr().err.splitlines() == ["Outer: 1 of 10 images, 9 minutes left."]

    def test_are_not_said_when_quiet(self, clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
        console.set_verbosity(console.QUIET)
        with console.progress("The work", 10) as task:
            clock[0] += 60
            task.advance()
        assert capsys.readouterr().err == ""
