from __future__ import annotations

import ast
import errno
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from facegen import console
from facegen.errors import EnvironmentProblem, InputError


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


def table(name: str) -> Table:
    made = Table(title=name, caption=name)
    made.add_column(name, name)
    made.add_row(name)
    return made


@pytest.mark.parametrize("name", ["custom:art:embed", "a[/x]b", "[bold]b", "c[link=x]d"])
def test_names_are_no_markup_and_no_emoji(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.info(f"The features {name}.")
    console.result_table(table(name))
    captured = capsys.readouterr()
    assert name in captured.err and captured.out.count(name) == 4


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


@pytest.mark.parametrize("name", ["dumb", "unknown"])
def test_a_terminal_that_shows_no_bar_hears_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", name)
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    with console.progress("The work", 10) as task:
        now[0] += 60
        task.advance(5)
    assert terminal.getvalue() == "The work: 5 of 10 images, 1 minute left.\n"


@pytest.mark.parametrize("columns", ["1", "20"])
def test_a_narrow_terminal_is_no_reason_to_fail(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    with console.progress("A long piece of work", 10) as task:
        task.advance(10)
        console.warn("Mind this.")
    console.result_table(table("a long name"))
    assert "a long name" in terminal.getvalue()


@pytest.mark.parametrize("columns", ["1", "20", "40"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_narrow_terminal_cuts_no_figure(columns: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    figures = [f"{number:,}" for number in range(1_234_567, 1_234_573)]
    wide = Table(*(f"heading{at}" for at, _ in enumerate(figures)))
    wide.add_row(*figures)
    console.result_table(wide, whole=whole)
    assert all(word in terminal.getvalue() for word in [*figures, "heading0", "heading5"])


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


#: Each prints a name from outside.
OUTLETS: dict[str, Callable[[str], object]] = {
    "info": console.info,
    "warn": console.warn,
    "error": lambda name: console.error(InputError(name, name)),
    "defect": lambda name: console.defect(ValueError(name), name, name),
    "result": lambda name: console.result(name, name),
    "json": lambda name: console.result_json({name: [name]}),
    "table": lambda name: console.result_table(table(name)),
    "whole table": lambda name: console.result_table(table(name), whole=True),
    "bar": lambda name: show_bar(name),
    "warning": lambda name: sys.stderr.write(warnings.formatwarning(name, UserWarning, name, 1)),
    "help": lambda name: click.echo("uint8 [N, H, W, 3] → FID∞, 64×64 – é, 한국어"),
}


WILD = "\x1b\x9b\x07\n\r\t\u2028\u202e\u2066\ufeff\udce9[/]:한→×é"


def show_bar(name: str) -> None:
    with console.progress(name, 2) as task:
        task.note(name)
        task.advance()
        console.info(name)
        task.advance()


class TestAnyNameInAnyEncoding:
    @pytest.mark.parametrize("outlet", OUTLETS)
    @settings(max_examples=25)
    @given(
        name=st.text(st.characters(exclude_categories=()) | st.sampled_from(WILD), max_size=40),
        encoding=st.sampled_from(["ascii", "cp1252", "cp437", "cp949", "latin-1", "utf-8"]),
        terminal=st.booleans(),
    )
    def test_is_printed_without_what_a_terminal_obeys(
        self, outlet: str, name: str, encoding: str, terminal: bool
    ) -> None:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            patch.setenv("TERM", "xterm")
            patch.setenv("NO_COLOR", "1")
            if terminal:
                for stream in streams:
                    patch.setattr(stream, "isatty", lambda: True, raising=False)
            with console.forgiving_streams():
                OUTLETS[outlet](name)
            for stream in streams:
                stream.flush()
        told = "".join(stream.buffer.getvalue().decode(encoding) for stream in streams)
        if outlet == "json":
            exact = "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in name)
            assert json.loads(told) == {exact: [exact]}
        if terminal:  # where rich writes bold, and moves to the beginning of the bar
            told = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]|\r", "", told)
        assert {c for c in told if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} <= {"\n"}


def test_a_name_is_one_line_and_a_long_one_loses_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    console.info("a\nerror: no.")
    console.result("a\nb", "c")
    console.warn(f"The file {'x' * 10_000} is no image, and {'a b ' * 10_000} is none.")
    captured = capsys.readouterr()
    assert captured.out == "a\\u000ab\nc\n"
    first, second = captured.err.splitlines()
    assert first == "a\\u000aerror: no."
    assert len(second) < 5000 and second.endswith("a b  is none.") and "x…x" in second


class Refusing(io.StringIO):
    """A stream that cannot be written."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def write(self, text: str) -> int:
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EPIPE])
def test_messages_that_cannot_be_written_are_lost_and_the_work_goes_on(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Refusing(code))
    say_everything()
    assert capsys.readouterr().out == "The result.\n"


@pytest.mark.parametrize("outlet", ["result", "json", "table", "help"])
@pytest.mark.parametrize(("code", "is_lost"), [(errno.EPIPE, True), (errno.ENOSPC, False), (errno.EIO, False)])
def test_a_result_is_lost_where_nobody_reads_and_an_error_where_there_is_no_room(
    outlet: str, code: int, is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing(code))
    with console.forgiving_streams():
        if is_lost:
            OUTLETS[outlet]("x")
        else:
            with pytest.raises(EnvironmentProblem, match=rf"cannot be written to stdout: {os.strerror(code)}\."):
                OUTLETS[outlet]("x")


def test_a_closed_file_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        stream = io.StringIO()
        stream.close()
        monkeypatch.setattr(sys, name, stream)
    with console.forgiving_streams():
        show_bar("x")
        say_everything()


def test_no_message_has_line_breaks_of_its_own() -> None:
    """They would be spelt out: several lines are several messages, or several words of a result."""
    sources = [file.read_text("utf-8") for file in Path(console.__file__).parent.rglob("*.py")]
    calls = (call for source in sources if "console." in source for call in ast.walk(ast.parse(source)))
    broken = [
        ast.unparse(call)
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if isinstance(call.func.value, ast.Name) and call.func.value.id == "console"
        if call.func.attr in {"info", "detail", "warn", "result"}
        if any(isinstance(part, ast.Constant) and "\n" in str(part.value) for part in ast.walk(call))
    ]
    assert not broken


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_nothing_fails_once_more_as_python_ends() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [sys.executable, "-m", "facegen", "--help"], stdout=full, stderr=subprocess.PIPE, env=environment, text=True
        )
    assert ended.returncode == 2 and ended.stderr.startswith("error: ") and len(ended.stderr.splitlines()) == 1
