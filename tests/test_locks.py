"""Locks between processes: one holds, another waits or is refused, and a killed one lets go."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from facegen.errors import EnvironmentProblem
from facegen.locks import sole_use

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
