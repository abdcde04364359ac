"""The score's check on a small network; tests/checks/test_reference_fid.py has it on Inception."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from facegen.checks import score
from facegen.extractors import table
from facegen.weights.published import INCEPTION


class Ours(nn.Module):
    """Means over the quarters of each channel: 12 features."""

    def __init__(self, state_dict: Mapping[str, Tensor], dims: int) -> None:
        super().__init__()

    def resize(self, images: Tensor) -> Tensor:
        return images.float() / 255

    def forward(self, resized: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(resized, 2).flatten(1)


class Theirs(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [self.factor * nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)[..., None, None]]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets both networks: theirs gives ours times a factor."""

    def put(factor: float) -> None:
        monkeypatch.setattr(score, "choose_device", lambda name: torch.device("cpu"))
        monkeypatch.setattr(score, "seeded_weights", dict)
        monkeypatch.setattr(score, "InceptionFeatures", Ours)
        monkeypatch.setattr(score, "reference_network", lambda state_dict, dims: Theirs(factor))

    return put


def test_equal_features_score_alike(networks: Callable[[float], None]) -> None:
    networks(1)
    found = score.check_score(9, 12)
    assert found.status == "ok" and found.message.startswith("4 images score ") and "5 others" in found.message
    assert found.details["weights"] == "seeded weights at 12 dims"


@pytest.mark.parametrize("factor", [1.001, 0.5])
def test_features_that_differ_are_wrong(networks: Callable[[float], None], factor: float) -> None:
    networks(factor)
    found = score.check_score(8, 12)
    assert found.status == "wrong" and found.details["relative_difference"] > score.TOLERANCE
    assert found.remedy is not None


def test_features_that_are_no_numbers_are_wrong(networks: Callable[[float], None]) -> None:
    networks(float("nan"))
    found = score.check_score(8, 12)
    assert (found.status, found.message) == ("wrong", "Features by pytorch-fid hold NaN or infinity.")


def test_installed_weights_are_taken(networks: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    networks(1)
    path = INCEPTION.path
    path.parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(1)}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    stand_in = replace(table.extractors()["inception"], weights=replace(INCEPTION, sha256=sha256))
    monkeypatch.setitem(table._TABLE, "inception", stand_in)
    assert score.check_score(8, 12).details["weights"] == "the published weights at 12 dims"
