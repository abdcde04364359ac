"""Images that are variations of a few lie nearer to one another than images of one cloud."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist, squareform

from facegen.metrics.modes import nearest_in_main_directions

Images = npt.NDArray[np.uint8]


def pictures(latents: npt.NDArray[np.float64]) -> Images:
    """Of latents [N, 20]: sums of 20 smooth patterns, as different as faces."""
    noise = np.random.default_rng(9).normal(size=(20, 64, 64))
    patterns = gaussian_filter(noise, (0, 8, 8), mode="wrap")
    luma = 128 + 10 * np.tensordot(latents, patterns / patterns.std(), axes=1)
    return np.repeat(np.clip(luma, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def latents(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, 20))


def test_one_cloud_is_as_a_normal_distribution() -> None:
    points = latents(400)
    distances = squareform(pdist(points, "sqeuclidean"))
    mean = distances.sum() / (400 * 399)
    np.fill_diagonal(distances, np.inf)
    expected = np.median(distances.min(axis=1)) / mean
    assert nearest_in_main_directions(pictures(points)) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("modes", [25, 50])
def test_few_modes_are_nearer(modes: int) -> None:
    points = latents(modes, seed=1)[np.arange(400) % modes] + 0.2 * latents(400)
    assert nearest_in_main_directions(pictures(points)) < 0.12


@pytest.mark.parametrize("change", [lambda p: p * 0.4, lambda p: p * np.linspace(1, 0.3, 20)], ids=["less", "uneven"])
def test_how_much_images_vary_does_not_count(change: object) -> None:
    points = latents(400)
    varied = nearest_in_main_directions(pictures(change(points)))  # type: ignore[operator]
    assert varied == pytest.approx(nearest_in_main_directions(pictures(points)), abs=0.05)


def test_images_that_are_all_the_same_are_at_0() -> None:
    assert nearest_in_main_directions(np.full((30, 64, 64, 3), 77, dtype=np.uint8)) == 0
    assert nearest_in_main_directions(np.repeat(pictures(latents(4)), 10, axis=0)) == pytest.approx(0, abs=1e-6)
