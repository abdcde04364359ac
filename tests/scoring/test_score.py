from __future__ import annotations

import json
from dataclasses import replace

import pytest

from facegen.data.origin import Origin
from facegen.scoring.score import Score

FID = Score("fid", 12.345, 1000, 2048, "inception-2015-12-05", "6" * 64, 10_000, "a" * 64, 20.0, True)
FD = Score("fd", 9.05, 1000, 1280, "effnet-lite0", "5" * 64, None, "b" * 64)


def test_json_is_the_interfaces() -> None:
    assert json.loads(json.dumps(FID.to_json())) == {
        "schema": 1,
        "metric": "fid",
        "value": 12.345,
        "n": 1000,
        "dims": 2048,
        "extractor": "inception-2015-12-05",
        "weights_sha256": "6" * 64,
        "reference": {"n": 10_000, "sha256": "a" * 64},
        "target": 20.0,
        "passed": True,
        "floor": None,
        "floor_spread": None,
        "floor_draws": [],
        "interval95": None,
        "warnings": [],
        "metrics": {},
        "sampling": None,
        "trained_against": None,
    }


MEASURED = replace(
    FID,
    floor=9.0,
    floor_spread=0.25,
    floor_draws=(8.75, 9.25),
    interval95=(11.0, 13.0),
    warnings=("Careful.",),
    sampling="truncation 0.8",
    trained_against="effnet-lite0",
    metrics={
        "kid": {"value": 0.0123, "standard_error": 0.0004},
        "precision": 0.5,
        "memorization": {"red": True, "flagged": 50, "expected": 5.0, "uncalibrated": None},
    },
)


@pytest.mark.parametrize("score", [FID, FD, MEASURED, replace(FD, n=None)])
def test_json_there_and_back(score: Score) -> None:
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score


@pytest.mark.parametrize("damage", [{"schema": 2}, {"reference": None}, {"reference": {}},
    {"value": "12"}, {"value": float("nan")}, {"dims": True}, {"interval95": [1]}, {"warnings": 3}, {"metrics": []},
    {"floor_draws": ["a"]}, {"n": 2.5}])  # fmt: skip
def test_json_of_something_else_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="score"):
        Score.from_json({**FID.to_json(), **damage})


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="not a score, but a value of type list"):
        Score.from_json([])  # type: ignore[arg-type]


def test_fid_is_named_fid_with_its_verdict() -> None:
    assert FID.summary() == (
        "FID 12.35: 1,000 images against 10,000, 2,048 dims of inception-2015-12-05; below the target of 20"
    )


def test_another_distance_says_that_it_is_not_fid() -> None:
    assert FD.summary() == (
        "effnet-lite0 FD 9.05 (not FID): 1,000 images against statistics of unknown size, 1,280 dims of effnet-lite0"
    )


def test_a_sampling_that_is_not_plain_is_named_with_the_value() -> None:
    score = replace(FID, sampling="truncation 0.8")
    assert score.summary().endswith("of inception-2015-12-05; sampled by truncation 0.8; below the target of 20")


def test_a_network_that_the_generator_was_trained_against_is_named_with_the_value() -> None:
    score = FID.with_origin(Origin("truncation 0.8", "effnet-lite0"))
    assert score.summary().endswith(
        "; sampled by truncation 0.8; generator trained against effnet-lite0; below the target of 20"
    )


@pytest.mark.parametrize("network", [None, "effnet-lite0", "other"])
def test_another_network_than_the_one_that_measures_is_no_warning(network: str | None) -> None:
    score = FID.with_origin(Origin(None, network))
    assert score == replace(FID, trained_against=network) and score.flattery is None


@pytest.mark.parametrize(
    ("trained_against", "which"),
    [
        ("effnet-lite0", "The images come from"),
        ("effnet-lite0 (3 of 4 images)", "Some of the images come from"),
        ("other (3 of 4 images); effnet-lite0 (1 of 4 images)", "Some of the images come from"),
    ],
)
def test_a_network_that_was_in_the_training_is_warned_of_first(trained_against: str, which: str) -> None:
    score = replace(FD, warnings=("Careful.",)).with_origin(Origin(None, trained_against))
    warning, careful = score.warnings
    assert (warning, careful, score.trained_against) == (score.flattery, "Careful.", trained_against)
    assert warning.startswith(which)
    assert all(words in warning for words in ("flatters", "not comparable", "Inception", "ImageNet"))


@pytest.mark.parametrize("key", ["sampling", "trained_against"])
def test_a_score_from_before_origins_were_named_is_read(key: str) -> None:
    older = {name: value for name, value in FID.to_json().items() if name != key}
    assert Score.from_json(older) == FID


def test_a_cut_inception_is_named_with_its_dims() -> None:
    assert replace(FID, metric="fd", dims=64).label == "inception-2015-12-05 FD at 64 dims"


def test_people_are_told_what_the_value_is_worth() -> None:
    assert MEASURED.lines() == [
        MEASURED.summary(),
        "floor 9.00 ± 0.25: 1,000 real images against the same reference",
        "95% interval 11.00 to 13.00",
        "kid 0.0123 ± 0.0004",
        "precision 0.5",
        "memorization RED, there are copies: 50 images look like copies; by chance it would be 5.0",
        "weights " + "6" * 64,
    ]


def test_an_uncalibrated_panel_says_why() -> None:
    panel = {"red": False, "flagged": 0, "expected": None, "uncalibrated": "there are no held-out images"}
    (line,) = replace(FID, metrics={"memorization": panel}).lines()[1:-1]
    assert line == "memorization not calibrated: there are no held-out images"
