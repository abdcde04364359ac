"""Run the blocks of a page in a copy of the world, and report what the page has wrong."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks import Block, Command, DocumentedPage, difference
from click.testing import CliRunner
from world import forget_downloads, inside, make_world, shrunk

from facegen.cli import main
from facegen.cli.root import DEFECT

#: Programs other than facegen and Python that a page may call without a mark, because they stay within the folder.
HARMLESS = frozenset(
    [
        "ls",
        "cat",
        "head",
        "tail",
        "wc",
        "cp",
        "mv",
        "mkdir",
        "rm",
        "touch",
        "tar",
        "unzip",
        "gzip",
        "echo",
        "grep",
        "sort",
    ]
)
#: Commands that use no shrunken data and do not measure the machine. Their numbers must equal those on the page.
EXACT = frozenset({"inspect", "weights"})


@dataclass
class Worlds:
    """A world, made when it is first used, and a copy of it for each page.

    Attributes:
        folder: Folder of the world and its copies.
    """

    folder: Path
    made: bool = field(default=False, init=False)

    def fill(self, folder: Path) -> set[Path]:
        """Replace ``folder`` by a copy of the world. Return the folders that a stage may write to."""
        template = self.folder / "world"
        if not self.made:
            template.mkdir(parents=True)
            with inside(template), shrunk(set()):
                make_world(template, _must_work)
            self.made = True
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        return {path.resolve() for path in folder.iterdir() if path.is_dir()}


def _must_work(*words: str) -> None:
    outcome = CliRunner().invoke(main, words, prog_name="facegen")
    assert outcome.exit_code == 0, f"facegen {shlex.join(words)}\n{outcome.output}"


@dataclass(frozen=True)
class Output:
    """The text that a block or command printed, and the text on the page.

    Attributes:
        place: Position of the page's text, as two indices of the page.
        said: The text on the page.
        printed: The text that was printed.
        is_exact: Whether numbers must be equal.
    """

    place: tuple[int, int] | None
    said: str
    printed: str
    is_exact: bool

    @property
    def difference(self) -> str | None:
        return difference(self.said, self.printed, any_number=not self.is_exact)


@dataclass
class Ran:
    """The result of a page: faults in words, and the outputs that the page shows."""

    faults: list[str] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)


def run_page(page: DocumentedPage, worlds: Worlds, *, go_on: bool = False) -> Ran:
    """Run a page's blocks in order.

    Args:
        page: The page.
        worlds: Where its folder comes from.
        go_on: Whether to go on after a fault. What follows builds on what came before, so it may fail, too.
    """
    ran = Ran()
    folder = worlds.folder / re.sub(r"\W", "-", page.path)
    provided = worlds.fill(folder)
    space: dict[str, Any] = {"__name__": "page"}
    printed = ""
    with inside(folder), shrunk(provided):
        sys.path.insert(0, str(folder))
        for block in page.blocks:
            where = f"{page.path}:{block.line}"
            if block.is_fresh:
                provided.clear()
                provided |= worlds.fill(folder)
                os.chdir(folder)
            try:
                if block.is_output:
                    _compare(ran, where, Output(_place(block), block.text, printed, is_exact=True))
                elif block.file:
                    Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                    Path(block.file).write_text(block.file_text, encoding="utf-8")
                elif block.language in ("sh", "console"):
                    for command in block.commands():
                        _run_command(ran, where, command)
                elif block.language == "pycon":
                    _run_doctest(ran, where, block, space)
                else:
                    printed = _run_python(block.text, where, space)
            except Exception as problem:  # noqa: BLE001
                ran.faults.append(f"{where}: {type(problem).__name__}: {problem}")
            if ran.faults and not go_on:
                break
    shutil.rmtree(folder)
    return ran


def _place(block: Block) -> tuple[int, int]:
    return block.start, block.start + len(block.text)


def _compare(ran: Ran, where: str, output: Output) -> None:
    ran.outputs.append(output)
    if output.difference is not None:
        ran.faults.append(f"{where}: {output.difference}\nThis was printed:\n{output.printed}")


def _run_command(ran: Ran, where: str, command: Command) -> None:
    code, printed = 0, ""
    for part in re.split(r" && ", re.sub(r"\s#\s.*$", "", command.line)):
        code, printed_now = run_line(part.strip())
        printed += printed_now
        if code:
            break
    if code != command.exit_code:
        ran.faults.append(f"{where}: {command.line}\nends with exit code {code}, not {command.exit_code}:\n{printed}")
    elif command.output is not None:
        is_exact = bool({*EXACT, "--help", "--version"} & set(command.words))
        _compare(ran, where, Output(command.place, command.output, printed, is_exact))


def run_line(line: str) -> tuple[int, str]:
    """Run one command, and return its exit code and what it printed on both streams.

    facegen and Python run in this process, where their data can be made small. A shell runs what follows a ``|``.

    Raises:
        ValueError: The page may not call this program without a mark.
    """
    first, _, rest = line.partition(" | ")
    first, _, target = first.partition(" > ")
    words = shlex.split(first)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    words = words[len(variables) :]
    if words[:3] == ["python", "-m", "facegen"]:
        words = words[2:]
    if words[0] == "facegen":
        forget_downloads()
        outcome = CliRunner().invoke(main, words[1:], prog_name="facegen", env=variables)
        code, printed, results = outcome.exit_code, outcome.output, outcome.stdout
        if code == DEFECT or (outcome.exception is not None and not isinstance(outcome.exception, SystemExit)):
            raise RuntimeError(f"{line}\n{printed}{outcome.exception!r}")
        if target or rest:
            printed = outcome.stderr
    elif words[0] == "python" and words[1].endswith(".py"):
        code, printed = 0, _captured(lambda: _run_script(words[1:]))
        results, printed = printed, "" if target or rest else printed
    elif words[0] == "cd":
        os.chdir(words[1])
        return 0, ""
    elif words[0] in HARMLESS:
        return _shell(line, "")
    else:
        raise ValueError(f"{words[0]!r} is not run. Put <!-- not run: REASON --> on the line before the fence: {line}")
    if target:
        Path(target.strip()).write_text(results, encoding="utf-8")
    if rest:
        code, more = _shell(rest, results)
        printed += more
    return code, printed


def _shell(line: str, given: str) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", line], input=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def _captured(action: Callable[[], object]) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(io.StringIO()):  # messages are not the output
        action()
    return stream.getvalue()


def _run_script(words: list[str]) -> None:
    argv = sys.argv
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.argv = argv


def _run_python(text: str, where: str, space: dict[str, Any]) -> str:
    return _captured(lambda: exec(compile(text, where, "exec"), space))


def _run_doctest(ran: Ran, where: str, block: Block, space: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text.replace("…", "..."), space, where, None, 0)
    test.globs = space  # names stay for the page's other blocks
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    stream = io.StringIO()
    runner.run(test, out=stream.write, clear_globs=False)
    if stream.getvalue():
        ran.faults.append(f"{where}: {stream.getvalue()}")
