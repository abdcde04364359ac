"""A network that is there only while it looks, and scores that are the same with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.checks.reference_fid import seeded_weights
from facegen.data.origin import Origin
from facegen.errors import EnvironmentProblem
from facegen.extractors.inception import taking_over
from facegen.extractors.low_memory import FleetingNetwork, give_back_at_once, give_back_memory
from facegen.extractors.opening import open_extractor
from facegen.metrics.frechet import frechet_statistics
from facegen.scoring.image_checks import PropertyCollector
from facegen.scoring.reference import Pool, Reference, laid_aside
from facegen.scoring.score import Score
from facegen.scoring.scorer import SetScorer

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(seeded_weights(), path)
    return path


@pytest.fixture(scope="module")
def reference() -> Reference:
    features = np.random.default_rng(1).normal(size=(100, 64)).astype(np.float32)
    pools = (Pool(features, within=True),)
    return Reference(Path("real"), frechet_statistics(features), "1" * 64, "100 images", pools)


def score_of(scorer: SetScorer) -> Score:
    """As grading scores: the network first, and then what needs none."""
    properties = PropertyCollector()
    properties.update(IMAGES)
    return scorer.measure(scorer.features_of(IMAGES, "the images"), properties.properties(), Origin()).score


def test_the_score_is_the_same_but_for_rounding(weights: Path, reference: Reference) -> None:
    scores = []
    for low_memory in (False, True):
        extractor = open_extractor("inception", weights=weights, dims=64, device="cpu", low_memory=low_memory)
        scorer = SetScorer(extractor, laid_aside(reference) if low_memory else reference, None)
        scores.append(score_of(scorer))
    usual, low = scores
    assert low.value == pytest.approx(usual.value, rel=1e-5) and low.weights_sha256 == usual.weights_sha256
    assert low.interval95 == pytest.approx(usual.interval95, rel=1e-4)
    assert low.floor == usual.floor


def test_it_is_gone_when_the_score_is_there_and_comes_again(weights: Path, reference: Reference) -> None:
    extractor = open_extractor("inception", weights=weights, dims=64, device="cpu", low_memory=True)
    assert isinstance(extractor.network, FleetingNetwork) and extractor.batch == 1
    first = score_of(SetScorer(extractor, reference, None))
    assert not extractor.network.is_loaded
    assert score_of(SetScorer(extractor, reference, None)) == first


def test_weights_that_change_meanwhile_are_told(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    copy.write_bytes(weights.read_bytes())
    extractor = open_extractor("inception", weights=copy, dims=64, device="cpu", low_memory=True)
    torch.save({key: 2 * value for key, value in seeded_weights().items()}, copy)
    with pytest.raises(EnvironmentProblem, match="changed while they were read"):
        extractor(list(IMAGES[:1]))


def test_taking_over_leaves_no_tensor_behind() -> None:
    state_dict = dict(seeded_weights())
    taking_over(state_dict, 64)
    assert state_dict == {}


def test_what_is_laid_aside_is_the_same_and_cannot_be_written_to(reference: Reference) -> None:
    aside = laid_aside(reference)
    assert np.array_equal(aside.statistics.sigma, reference.statistics.sigma)
    assert np.array_equal(aside.pools[0].features, reference.pools[0].features)
    assert not aside.statistics.sigma.flags.writeable


def test_giving_back_is_harmless_everywhere() -> None:
    give_back_at_once()
    give_back_memory()
