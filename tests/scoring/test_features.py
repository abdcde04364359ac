from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from torch import Tensor

from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.scoring import features
from facegen.scoring.features import ahead, compute_features, stored_rows


def test_statistics_are_those_of_the_features(tiny: FeatureExtractor, pixels: np.ndarray) -> None:
    statistics = compute_features(iter(pixels), tiny, "images").statistics
    features = tiny(list(pixels))
    assert statistics.n == 20
    np.testing.assert_allclose(statistics.mu, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.sigma, np.cov(features, rowvar=False), rtol=1e-6)


@pytest.mark.parametrize("total", [20, None])
def test_features_are_stored_in_order(tiny: FeatureExtractor, pixels: np.ndarray, total: int | None) -> None:
    np.testing.assert_allclose(
        compute_features(iter(pixels), tiny, "images", total).features, tiny(list(pixels)), rtol=1e-6
    )


@pytest.mark.parametrize(("total", "rows"), [(20, None), (None, np.arange(7))])
def test_beyond_the_limit_a_sample_is_stored(
    tiny: FeatureExtractor,
    pixels: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    total: int | None,
    rows: np.ndarray | None,
) -> None:
    monkeypatch.setattr(features, "STORED", 7)
    found = compute_features(iter(pixels), tiny, "images", total)
    rows = stored_rows(20) if rows is None else rows
    assert len(rows) == 7 and (np.diff(rows) > 0).all() and found.statistics.n == 20
    np.testing.assert_allclose(found.features, tiny(list(pixels[rows])), rtol=1e-6)


def test_images_of_different_sizes_keep_their_order(tiny: FeatureExtractor, pixels: np.ndarray) -> None:
    mixed = [np.kron(image, np.ones((2, 1, 1), np.uint8)) if i % 3 else image for i, image in enumerate(pixels)]
    one_by_one = np.concatenate([tiny([image]) for image in mixed])
    np.testing.assert_allclose(tiny(mixed), one_by_one, rtol=1e-6)


@pytest.mark.parametrize(("count", "words"), [(0, "has 0 images"), (1, "has 1 image:")])
def test_too_few_images_say_why(tiny: FeatureExtractor, pixels: np.ndarray, count: int, words: str) -> None:
    with pytest.raises(InputError, match=rf"some/folder {words}.*covariance"):
        compute_features(pixels[:count], tiny, "some/folder")


def test_float_images_are_a_mistake_of_the_caller(tiny: FeatureExtractor, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected images uint8"):
        compute_features(pixels / 255, tiny, "images")  # type: ignore[arg-type]


def test_features_that_are_not_finite_are_refused(
    tiny: FeatureExtractor, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(resized: Tensor) -> Tensor:
        return resized.mean((2, 3)).repeat(1, 4) * float("nan")

    monkeypatch.setattr(tiny.network, "forward", broken)
    with pytest.raises(InputError, match="not finite"):
        compute_features(pixels, tiny, "images")


def test_ahead_keeps_order_and_none() -> None:
    items = [0, None, [], "x", *range(50)]
    assert list(ahead(items)) == items


def test_ahead_raises_after_the_items_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise InputError("image 2 is broken.")

    line = ahead(items())
    assert next(line) == 1
    with pytest.raises(InputError, match="image 2 is broken"):
        next(line)


def test_ahead_leaves_no_thread_behind_when_dropped() -> None:
    before = threading.active_count()
    line = ahead(iter(range(1_000_000)))
    next(line)
    line.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
