"""pytorch-fid's code runs with any SciPy, and nothing that it is given stays behind."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from pytorch_fid import fid_score, inception

from facegen.checks.reference_fid import reference_distance, reference_network, reference_score, seeded_weights
from facegen.checks.score import check_score

Moments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def moments() -> Moments:
    first, second = (np.random.default_rng(seed).normal(seed, 1 + seed, (50, 8)) for seed in (0, 1))
    return first.mean(0), np.cov(first, rowvar=False), second.mean(0), np.cov(second, rowvar=False)


@pytest.fixture
def scipy_1_18(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix root without ``disp``, which gives the matrix alone."""
    sqrtm = scipy.linalg.sqrtm

    def sqrtm_of_1_18(A: np.ndarray) -> np.ndarray:
        return sqrtm(A)

    monkeypatch.setattr(scipy.linalg, "sqrtm", sqrtm_of_1_18)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
def test_its_formula_is_called_as_it_is(moments: Moments) -> None:
    try:
        expected = fid_score.calculate_frechet_distance(*moments)
    except TypeError:
        pytest.skip("pytorch-fid's formula needs help with this SciPy, so that it cannot be compared without")
    assert reference_distance(*moments) == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("scipy_1_18")
def test_its_formula_needs_no_disp(moments: Moments) -> None:
    with pytest.raises(TypeError, match="disp"):
        fid_score.calculate_frechet_distance(*moments)
    first, second = np.diag([4.0, 9.0]), np.diag([1.0, 0.25])  # they commute: Σ(Δμ)² + Σ(σ₁ − σ₂)²
    distance = reference_distance(np.array([3.0, 0.0]), first, np.array([0.0, 0.0]), second)
    assert distance == pytest.approx(9 + 1 + 2.5**2, rel=1e-12)


@pytest.mark.usefixtures("scipy_1_18")
def test_the_score_is_checked_with_scipy_1_18_too() -> None:
    found = check_score(images=8, dims=64)
    assert found.status == "ok" and found.details["relative_difference"] < 1e-5


def test_few_features_are_scored_in_their_span() -> None:
    first, second = (np.random.default_rng(seed).normal(size=(6, 40)) for seed in (0, 1))
    whole = reference_distance(first.mean(0), np.cov(first.T), second.mean(0), np.cov(second.T))
    assert reference_score(first, second) == pytest.approx(whole, rel=1e-4)


def test_a_root_that_is_not_finite_prints_nothing(
    moments: Moments, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results are printed on stdout. pytorch-fid then tries again, a little off the diagonal."""
    expected, roots = reference_distance(*moments), [np.full((8, 8), np.nan)]
    sqrtm = scipy.linalg.sqrtm
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda matrix: roots.pop() if roots else sqrtm(matrix))
    assert reference_distance(*moments) == pytest.approx(expected, rel=1e-4)
    assert (roots, capsys.readouterr().out) == ([], "")


def test_its_download_is_put_back() -> None:
    before = inception.load_state_dict_from_url, fid_score.linalg
    reference_network(seeded_weights(), (64,))
    assert (inception.load_state_dict_from_url, fid_score.linalg) == before
