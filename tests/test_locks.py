"""Locks between processes: one holds, another waits or is refused, and a killed one lets go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from facegen.errors import EnvironmentProblem
from facegen.locks import is_held, sole_use

HOLD = """
import sys, time
from pathlib import Path
from facegen.locks import sole_use
with sole_use(Path(sys.argv[1]), "trains into run"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_with_the_firsts_number(tmp_path: Path) -> None:
    with holder(tmp_path / "run", 60) as process:
        message = rf"Another process \(number {process.pid}\) trains into run\."
        with pytest.raises(EnvironmentProblem, match=message), sole_use(tmp_path / "run", "trains into run"):
            pass
        process.kill()
    with sole_use(tmp_path / "run", "trains into run"):  # which a kill has let go of
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_second_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holder(tmp_path / "run", 0.5) as process, sole_use(tmp_path / "run", "trains into run", wait=True):
        assert process.wait() == 0
    assert "Waiting for it to end." in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with sole_use(tmp_path / "file" / "run", "trains into run"):
        pass


def test_folders_that_nothing_came_into_are_not_left(tmp_path: Path) -> None:
    with sole_use(tmp_path / "grades" / "cache", "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_within_a_process_it_is_held_until_the_block_ends(tmp_path: Path) -> None:
    with sole_use(tmp_path / "run", "x"), pytest.raises(EnvironmentProblem), sole_use(tmp_path / "run", "y"):
        pass


def test_a_disk_without_room_for_the_number_has_a_lock_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.write", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    refused = pytest.raises(EnvironmentProblem, match=r"^Another process y\.")
    with sole_use(tmp_path / "run", "x"), refused, sole_use(tmp_path / "run", "y"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_root_of_a_file_system_has_a_lock_of_its_own() -> None:
    with sole_use(Path("/"), "x"):  # or none, where it cannot be written to
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks and rights")
class TestForeign:
    def test_where_there_are_no_locks_nothing_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(*words: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.flock", none)
        with sole_use(tmp_path / "run", "x") as is_held:
            assert not is_held and list(tmp_path.iterdir()) == []

    def test_another_users_lock_is_respected(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = os.open

        def open_others(path: str, flags: int, *mode: int) -> int:
            if flags & os.O_RDWR:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return opened(path, flags, *mode)

        with sole_use(tmp_path / "run", "x"):
            monkeypatch.setattr(os, "open", open_others)
            with pytest.raises(EnvironmentProblem, match=rf"number {os.getpid()}"), sole_use(tmp_path / "run", "y"):
                pass

    def test_a_link_in_its_place_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("mine")
        (tmp_path / ".run.lock").symlink_to("mine")
        with sole_use(tmp_path / "run", "x"):
            pass
        assert (tmp_path / "mine").read_text() == "mine"


def test_whether_it_is_held_can_be_asked(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert is_held(run) is False
    with holder(run, 60) as process:
        assert is_held(run) is True
        process.kill()
    assert (tmp_path / ".run.lock").exists() and is_held(run) is False


def test_where_there_are_no_locks_nobody_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.locks._lock_number", Mock(side_effect=OSError(errno.ENOTSUP, "no locks")))
    assert is_held(tmp_path) is None
    (tmp_path / ".run.lock").touch()
    assert is_held(tmp_path / "run") is None


@pytest.mark.skipif(os.name == "nt", reason="the asker here is one of POSIX")
def test_who_only_asks_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An asker has the lock of a killed process for an instant: it lets go while the other waits to try again."""
    import fcntl

    asker = os.open(tmp_path / ".run.lock", os.O_CREAT | os.O_RDONLY)
    fcntl.flock(asker, fcntl.LOCK_EX)
    monkeypatch.setattr("time.sleep", lambda seconds: os.close(asker))
    with sole_use(tmp_path / "run", "trains into run") as held:
        assert held
