"""Rejection keeps candidates with the paper's probability, the same whatever the batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from facegen.gan.rejection import PERCENTILE, Rejection

BURN_IN = np.random.default_rng(0).normal(-2, 1.5, 4096)


def practical_scheme(logits: np.ndarray, maximum: float, gamma: float) -> np.ndarray:
    f = logits - maximum - np.log(1 - np.exp(logits - maximum - 1e-14)) - gamma
    return 1 / (1 + np.exp(-f))


def gamma_of(burn_in: np.ndarray, maximum: float) -> float:
    f = burn_in - maximum - np.log(1 - np.exp(burn_in - maximum - 1e-14))
    return float(np.percentile(f, PERCENTILE))


def test_the_percentile_is_kept_every_other_time() -> None:
    logit = np.percentile(BURN_IN, PERCENTILE)
    kept = Rejection(BURN_IN, seed=0).keep(np.full(4000, logit)).mean()
    assert kept == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("logit", [-3.0, -1.0, 0.5])
def test_a_logit_is_kept_as_often_as_the_paper_says(logit: float) -> None:
    maximum = BURN_IN.max()
    expected = practical_scheme(np.array([logit]), maximum, gamma_of(BURN_IN, maximum))[0]
    kept = int(Rejection(BURN_IN, seed=1).keep(np.full(4000, logit)).sum())
    assert stats.binomtest(kept, 4000, expected).pvalue > 0.01


def test_the_acceptance_rate_is_the_burn_ins() -> None:
    maximum = BURN_IN.max()
    expected = practical_scheme(BURN_IN, maximum, gamma_of(BURN_IN, maximum)).mean()
    assert Rejection(BURN_IN, seed=0).acceptance == pytest.approx(expected, abs=1e-9)
    assert 0.1 < expected < 0.4


def test_a_new_maximum_is_kept_and_moves_gamma() -> None:
    rejection = Rejection(BURN_IN, seed=0)
    maximum = BURN_IN.max() + 1
    assert rejection.keep(np.array([maximum])).all()
    logit = 0.0
    kept = int(rejection.keep(np.full(4000, logit)).sum())
    expected = practical_scheme(np.array([logit]), maximum, gamma_of(BURN_IN, maximum))[0]
    assert stats.binomtest(kept, 4000, expected).pvalue > 0.01


def test_a_logistic_ratio_recovers_the_data_where_gamma_is_small() -> None:
    """Candidates N(0, 1), data N(1/2, 1): log ratio x/2 − 1/8. The kept ones move towards the data's mean."""
    x = np.random.default_rng(3).normal(size=4000)
    rejection = Rejection(x / 2 - 0.125, seed=0)
    candidates = np.random.default_rng(4).normal(size=4000)
    kept = candidates[rejection.keep(candidates / 2 - 0.125)]
    assert kept.mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("size", [1, 32, 100])
def test_decisions_do_not_depend_on_how_many_are_asked_about(size: int) -> None:
    logits = np.random.default_rng(5).normal(-1, 2.5, 200)  # some above the burn-in's greatest
    assert (logits > BURN_IN.max()).any()
    rejection = Rejection(BURN_IN, seed=7)
    parts = [rejection.keep(logits[first : first + size]) for first in range(0, 200, size)]
    np.testing.assert_array_equal(np.concatenate(parts), Rejection(BURN_IN, seed=7).keep(logits))


def test_seeds_differ() -> None:
    logits = np.full(100, np.percentile(BURN_IN, PERCENTILE))
    assert (Rejection(BURN_IN, seed=0).keep(logits) != Rejection(BURN_IN, seed=1).keep(logits)).any()


def test_a_discriminator_that_finds_all_alike_keeps_every_other() -> None:
    alike = np.full(4096, -3.0)
    rejection = Rejection(alike, seed=0)
    assert rejection.acceptance == pytest.approx(0.5)
    assert math.isclose(rejection.keep(alike).mean(), 0.5, abs_tol=0.03)
