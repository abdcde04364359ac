from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import Result

from facegen.weights.published import INCEPTION, weights_path

Run = Callable[..., Result]
CONTENT = b"stands for 96 MB"


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published file of 16 bytes, out of reach."""
    stand_in = replace(INCEPTION, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(import_module("facegen.cli.weights"), "INCEPTION", stand_in)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_missing_weights_end_with_2_and_the_way(facegen: Run) -> None:
    outcome = facegen("weights")
    assert outcome.exit_code == 2
    assert INCEPTION.url in outcome.stderr and "facegen weights --from" in outcome.stderr


def test_installed_from_a_file_they_are_right(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(CONTENT)
    assert facegen("weights", "--from", tmp_path / "file.pth").exit_code == 0
    outcome = facegen("weights")
    assert outcome.exit_code == 0
    assert str(weights_path(INCEPTION)) in outcome.stdout and "(right)" in outcome.stdout


def test_wrong_weights_end_with_2(facegen: Run) -> None:
    weights_path(INCEPTION).parent.mkdir(parents=True)
    weights_path(INCEPTION).write_bytes(b"<html>")
    outcome = facegen("weights", "--json")
    assert outcome.exit_code == 2
    assert json.loads(outcome.stdout)["right"] is False


def test_a_wrong_file_is_not_installed(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(b"<html>")
    outcome = facegen("weights", "--from", tmp_path / "file.pth")
    assert outcome.exit_code == 2 and "sha256" in outcome.stderr
    assert not weights_path(INCEPTION).exists()
