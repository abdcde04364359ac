"""The command: what it serves and ends with, and the report."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import facegen as package
from facegen.errors import InputError
from facegen.training.recipe import load_recipe

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one tick."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text(load_recipe("quick").to_toml())
    (tmp_path / "run" / "log.jsonl").write_text('{"kimg": 1.0, "loss_d": 1.0}\n')
    return tmp_path / "run"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_it_serves_until_ctrl_c_and_ends_well(run: Path) -> None:
    command = [sys.executable, "-m", "facegen", "watch", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{address}data.json", timeout=30
        ) as told:
            assert json.load(told)["runs"][0]["kimg"] == 1.0
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert "ssh -L 8600:127.0.0.1:" in said and "Traceback" not in said


def test_a_report(facegen: Run, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = facegen("watch", run, "--out", out)
    assert done.exit_code == 0 and done.stdout.strip() == str(out) and "0 of 0 grids" in done.stderr
    assert '"kimg":1.0' in out.read_text()


def test_as_a_function(run: Path, tmp_path: Path) -> None:
    made = package.watch([str(run), run], out=str(tmp_path / "r.html"))
    assert (made.runs, made.address, made.path) == ((run, run), None, tmp_path / "r.html")
    with pytest.raises(InputError, match="There is no run to watch"):
        package.watch([])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{run}", "nowhere"), "There is no run nowhere."),
        (("{run}", "--port", 70000), "--port"),
        (("{run}", "--port", 1, "--out", "r.html"), "--out is for writing it"),
        ((), "RUN"),
    ],
)
def test_what_cannot_be_is_refused(facegen: Run, run: Path, words: tuple[object, ...], said: str) -> None:
    done = facegen("watch", *(str(word).format(run=run) for word in words))
    assert done.exit_code == 2 and said in done.stderr
