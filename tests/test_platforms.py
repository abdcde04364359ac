"""Windows and macOS, as far as Linux can play them; docs/platforms.md says what has run where."""

from __future__ import annotations

import ast
import errno
import ntpath
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from facegen.cli import root
from facegen.files import atomic_folder, atomic_path, write_text
from facegen.locks import sole_use
from facegen.printable import command_line

Run = Callable[..., Result]
ROOT = Path(__file__).parents[1]
SOURCES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "facegen").rglob("*.py")}

#: Modules that Windows lacks, and calls that it lacks or that do something else there; where each may stand. A file of
#: these asks for the system first, or is for Linux alone.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "fcntl": ("facegen/locks.py",),
    "msvcrt": ("facegen/locks.py",),
    "resource": ("facegen/training/loop.py", "facegen/training/memory.py"),
    **dict.fromkeys(("grp", "pty", "pwd", "termios", "tty", "readline", "curses", "syslog"), ()),
    "os.kill": (),  # which ends a process on Windows, whatever the signal
    **dict.fromkeys(("os.fork", "os.forkpty", "os.killpg", "os.mkfifo", "os.getuid", "os.geteuid", "os.statvfs"), ()),
    **dict.fromkeys(("os.uname", "os.getloadavg", "os.sysconf", "os.chown", "os.rename", "os.nice", "os.setsid"), ()),
    "signal.SIGHUP": ("facegen/training/stopping.py",),
    **dict.fromkeys(("signal.SIGKILL", "signal.SIGUSR1", "signal.SIGALRM", "signal.alarm", "signal.pause"), ()),
    "os.O_NOFOLLOW": (),
    "os.O_NONBLOCK": (),
    "os.O_DIRECTORY": (),
}
#: What opens text, and is to say in which encoding: the default is the system's code page on Windows. Those files that
#: Linux's kernel writes hold ASCII.
_KERNEL = ("facegen/checks/space.py", "facegen/checks/hardware.py")


def posix_alone(file: str, source: str) -> Iterator[str]:
    """What a module does that Windows cannot, or does otherwise."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        yield from (
            f"{file}:{node.lineno} uses {name}" for name in names if name in ONLY_IN and file not in ONLY_IN[name]
        )
        if isinstance(node, ast.Call) and file not in _KERNEL and is_text_of_the_code_page(node):
            yield f"{file}:{node.lineno} opens text without an encoding"


def is_text_of_the_code_page(call: ast.Call) -> bool:
    called, words = ast.unparse(call.func), {word.arg for word in call.keywords}
    if "encoding" in words or "opener" in words:
        return False
    if called.endswith(".write_text"):
        return len(call.args) == 1
    if called.endswith(".read_text"):
        return not call.args
    mode = next((word.value for word in call.keywords if word.arg == "mode"), None)
    if called == "open":
        mode = call.args[1] if len(call.args) > 1 else mode
        return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
    if called.endswith(".open") and call.args:
        mode = call.args[0]
    return (
        called.endswith(".open") and isinstance(mode, ast.Constant) and mode.value in ("r", "w", "a", "x", "r+", "w+")
    )


def test_nothing_needs_posix() -> None:
    assert [fault for file, source in SOURCES.items() for fault in posix_alone(file, source)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import fcntl",
        "import resource",
        "from fcntl import flock",
        "from os import kill",
        "os.kill(pid, 0)",
        "os.rename(a, b)",
        "signal.signal(signal.SIGHUP, handler)",
        "os.open(path, os.O_NOFOLLOW)",
        "path.read_text()",
        "path.write_text(text)",
        "open(path)",
        "open(path, 'w')",
        "path.open('a')",
        "path.open(mode='w')",
    ],
)
def test_what_needs_posix_is_seen(line: str) -> None:
    assert len(list(posix_alone("facegen/x.py", line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "getattr(os, 'O_NOFOLLOW', 0)",
        "path.replace(other)",
        "path.read_text(encoding='utf-8')",
        "path.open('rb')",
        "open(path, 'wb')",
        "Image.open(file)",
    ],
)
def test_what_runs_everywhere_may_stand(line: str) -> None:
    assert list(posix_alone("facegen/x.py", line)) == []


def test_modules_of_tests_can_be_imported_on_windows() -> None:
    """So that its tests can be collected there: what only POSIX has is imported within a test, or skips its module."""
    lacking = {name for name in ONLY_IN if "." not in name} - {"msvcrt"}
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {name}" for name in names if name in lacking]
    assert found == []


#: What Windows' ``os`` lacks, of all that is used anywhere near this project.
LACKING = {name.removeprefix("os.") for name in ONLY_IN if name.startswith("os.")} - {"kill", "rename"}
LACKING |= {"O_CLOEXEC", "O_NOCTTY", "sched_getaffinity", "fchmod", "register_at_fork"}
#: What moves or removes a name, and how many of its first arguments are such names.
MOVING = {"rename": 2, "replace": 2, "unlink": 1, "remove": 1}


class WindowsOs(ModuleType):
    """``os`` under the name of Windows' and without what that lacks. It opens no folder."""

    name = "nt"

    def __init__(self) -> None:
        super().__init__("os")

    def __getattr__(self, name: str) -> Any:
        if name in LACKING:
            raise AttributeError(f"module 'os' has no attribute {name!r}")
        return getattr(os, name)

    def open(self, path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return os.open(path, *arguments, **options)


def files_in_use() -> set[str]:
    """Those that this process has open or mapped into its memory."""
    used = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            used.add(str(descriptor.readlink()))
        except OSError:  # the one by which the folder was listed
            continue
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    used |= {line[line.index("/") :] for line in maps.splitlines() if "/" in line}
    return used


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which it is as on Windows: what is open or mapped can be neither moved, removed nor replaced.

    Nor can a folder that such a file is in. ``os`` and ``signal`` lack what they lack there, in facegen's modules.
    """
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux tells what is in use")
    import facegen.stages.pack
    import facegen.stages.prepare
    import facegen.stages.sample  # noqa: F401

    within = os.path.realpath(tmp_path)

    def refusing(action: Callable[..., None], names: int) -> Callable[..., None]:
        def tried(*arguments: Any, **options: Any) -> None:
            at = options.get("dir_fd")
            folder = Path.cwd() if at is None else Path(f"/proc/self/fd/{at}").readlink()
            for path in arguments[:names]:
                place = os.path.normpath(folder / os.fspath(path))
                inside = f"{place}{os.sep}"
                if place.startswith(within) and any(
                    name == place or (name.startswith(inside) and not Path(name).is_dir()) for name in files_in_use()
                ):
                    raise PermissionError(errno.EACCES, "It is used by another process", str(path))
            action(*arguments, **options)

        return tried

    for name, names in MOVING.items():
        monkeypatch.setattr(os, name, refusing(getattr(os, name), names))
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr("facegen.files._WAITS", (0.0,) * 3)
    played = WindowsOs()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "facegen" and getattr(module, "os", None) is os:
            monkeypatch.setattr(module, "os", played)
    return tmp_path


class TestOpenFiles:
    def test_the_play_refuses_what_windows_refuses(self, windows: Path) -> None:
        (windows / "folder").mkdir()
        path = windows / "folder" / "a"
        with path.open("wb"):
            for action in (path.unlink, lambda: path.replace(windows / "b"), lambda: path.parent.rename(windows / "c")):
                with pytest.raises(PermissionError):
                    action()
        path.unlink()

    def test_the_chain_replaces_what_it_made_and_leaves_nothing(self, windows: Path, facegen: Run) -> None:
        """Each command twice, the second time over what the first one made."""
        for n in (24, 25):
            assert facegen("prepare", f"synthetic:{n}", windows / "faces").exit_code == 0
        for seed in (0, 1):
            drawn = facegen("sample", "--pretrained", windows / "images", "-n", "4", "--seed", seed)
            assert drawn.exit_code == 0, drawn.stderr
        assert {path.name for path in windows.iterdir()} >= {"faces", "images", "grid.png"}
        assert [path.name for path in windows.rglob(".*")] == []

    def test_a_lock_is_let_go_of_and_its_file_removed(self, windows: Path) -> None:
        with sole_use(windows / "run", "trains"):
            assert (windows / ".run.lock").exists()
        assert [*windows.iterdir()] == []

    def test_a_file_that_another_program_has_open_for_a_moment_is_replaced(
        self, windows: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a virus scanner has it."""
        target = windows / "a"
        write_text(target, "old")
        scanner = target.open("rb")
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 2:
                scanner.close()

        monkeypatch.setattr("facegen.files.time.sleep", sleep)
        write_text(target, "new")
        assert target.read_text(encoding="utf-8") == "new" and len(waited) == 2

    def test_one_that_stays_open_is_told_and_nothing_is_lost(self, windows: Path) -> None:
        target = windows / "a"
        write_text(target, "old")
        with target.open("rb"), pytest.raises(PermissionError, match="a"):
            write_text(target, "new")
        assert target.read_text(encoding="utf-8") == "old" and [path.name for path in windows.iterdir()] == ["a"]

    def test_a_folder_whose_file_is_open_stays_as_it_was(self, windows: Path) -> None:
        target = windows / "folder"
        with atomic_folder(target) as folder:
            (folder / "a").write_bytes(b"old")
        with (target / "a").open("rb"), pytest.raises(PermissionError), atomic_folder(target) as folder:
            (folder / "a").write_bytes(b"new")
        assert (target / "a").read_bytes() == b"old"
        assert [path.name for path in windows.iterdir()] == ["folder"]


def test_elsewhere_a_refused_rename_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.files.time.sleep", lambda _: pytest.fail("it waited"))
    tries = []

    def refuse(self: Path, target: Path) -> None:
        tries.append(target)
        raise PermissionError(errno.EACCES, "no", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a"):
        pass
    assert len(tries) == 1


class TestCommands:
    """Those that facegen tells users to type."""

    WORDS = ("facegen", "train", r"C:\Users\Kim Lee\faces", "run-1", "--extractor", "a:b", "it's")

    def test_for_windows_they_are_read_back_as_its_programs_read_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.printable.os", WindowsOs())
        line = command_line(self.WORDS)
        assert line == r'''facegen train "C:\Users\Kim Lee\faces" run-1 --extractor a:b "it's"'''
        assert ntpath.isabs(self.WORDS[2])

    def test_elsewhere_as_a_shell_reads_them(self) -> None:
        assert shlex.split(command_line(self.WORDS)) == [*self.WORDS]

    def test_pieces_of_an_archive_are_joined_as_cmd_does(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from facegen import file_kinds

        for end in ("aa", "ab"):
            (tmp_path / f"faces{end}").write_bytes(b"x")
        monkeypatch.setattr("facegen.file_kinds.os", WindowsOs())
        kind = file_kinds.kind_by_place(tmp_path / "facesaa")
        assert kind is not None and kind.remedy is not None and 'copy /b "faces??" whole' in kind.remedy

    def test_words_are_taken_as_they_are_typed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Click would take faces[1] for a pattern there, and faces1 for what is meant."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "faces1").mkdir()
        monkeypatch.setattr("click.core.os", WindowsOs())
        monkeypatch.setattr(sys, "argv", ["facegen", "prepare", "faces[1]", "out"])
        with pytest.raises(SystemExit):
            root.main(prog_name="facegen")
        assert "faces[1] does not exist" in capsys.readouterr().err

    def test_the_home_folder_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/kim")
        words = ["prepare", "~/a.zip", "~", "a~b", "~x", "--seed"]
        assert root.words_of_home(words) == ["prepare", "/home/kim/a.zip", "/home/kim", "a~b", "~x", "--seed"]


#: As a user writes it who has read the README: without ``if __name__ == "__main__":``.
SCRIPT = """
import multiprocessing, sys
multiprocessing.set_start_method(sys.argv[1])
print("begun")
import facegen
print(facegen.prepare("photographs", "faces", workers=2).images)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_script_without_a_guard_prepares_in_processes(tmp_path: Path, method: str) -> None:
    """Windows and macOS start processes by ``spawn``, and Linux from Python 3.14 on by ``forkserver``."""
    if method == "forkserver" and os.name == "nt":
        pytest.skip("there is none")
    (tmp_path / "photographs").mkdir()
    for n in range(70):  # more than a chunk, so that there are two processes
        Image.new("RGB", (64, 64), (n, 0, 0)).save(tmp_path / "photographs" / f"{n}.png")
    (tmp_path / "mine.py").write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "mine.py", method]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert (done.returncode, done.stdout) == (0, "begun\n70\n"), done.stderr


def test_a_console_of_a_code_page_is_written_in_words(tmp_path: Path) -> None:
    """tests/test_console.py has others, and what becomes of each character."""
    code_page = "cp949"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": code_page}
    words = [sys.executable, "-m", "facegen", "inspect", "lenet5", "--input", "1x32x32"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"1\S32\S32", done.stdout.decode(code_page)) and b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="the scripts are for bash")
def test_the_scripts_say_what_an_installation_takes(tmp_path: Path) -> None:
    """On stderr; with a stand-in for Python, that has no facegen."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\n[ "$1" != -c ]\n', encoding="utf-8")
    python.chmod(0o755)
    command = 'cd "$0"; . scripts/environment; facegen_environment .; echo done'
    environment = {**os.environ, "VIRTUAL_ENV": str(tmp_path)}
    done = subprocess.run(["/bin/bash", "-c", command, ROOT], env=environment, capture_output=True, encoding="utf-8")
    assert done.stdout == "done\n" and "GB" in done.stderr and str(tmp_path) in done.stderr
