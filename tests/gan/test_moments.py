"""The optimal map and its gradient against the Fréchet distance of facegen.metrics."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.gan.moments import MomentMatching
from facegen.metrics.frechet import FrechetStatistics, frechet_distance

D, N = 4, 400


def features(seed: int, stretch: float, shift: float) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=draw) * stretch
    return torch.randn(N, D, generator=draw) @ mixing + shift


REAL, FAKE = features(0, 1.0, 0.5), features(1, 0.7, 0.0)


def matched(real: Tensor, fake: Tensor) -> MomentMatching:
    matching = MomentMatching(D)
    matching.update_averages(*matching.batch_moments(real, fake), keep=0.0)
    matching.solve_map()
    return matching


def distance(fake: Tensor) -> float:
    """Of Gaussians with the samples' own moments (divided by N, as averages over batches are)."""

    def statistics(samples: Tensor) -> FrechetStatistics:
        array = samples.double().numpy()
        return FrechetStatistics(N, array.mean(0), np.cov(array.T, bias=True))

    return frechet_distance(statistics(fake), statistics(REAL))


def test_the_way_to_the_map_is_the_frechet_distance() -> None:
    variance = REAL.var(0, correction=0).sum()
    assert matched(REAL, FAKE)(FAKE).item() == pytest.approx(distance(FAKE) / variance.item(), rel=2e-2)  # the ridge


def test_nothing_is_lost_where_the_moments_agree() -> None:
    assert matched(REAL, REAL)(REAL).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_is_the_distances_own() -> None:
    """Along a few directions in which single features move."""
    matching = matched(REAL, FAKE)
    fake = FAKE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(matching(fake), fake)
    variance = REAL.var(0, correction=0).sum().item()
    draw = torch.Generator().manual_seed(2)
    for _ in range(3):
        step = torch.randn(N, D, generator=draw) * 0.01
        expected = (distance(FAKE + step) - distance(FAKE - step)) / 2 / variance
        assert (gradient * step).sum().item() == pytest.approx(expected, rel=2e-2)


def test_descending_it_brings_the_moments_together() -> None:
    fake = FAKE.clone()
    for _ in range(60):
        matching = matched(REAL, fake)
        fake.requires_grad_()
        (gradient,) = torch.autograd.grad(matching(fake) * matching.variance * N, fake)
        fake = (fake - 0.2 * gradient).detach()
    assert distance(fake) < 1e-3 * distance(FAKE)


def test_averages_forget_at_the_pace_that_is_asked_for() -> None:
    matching = MomentMatching(D)
    for value, keep in ((1.0, 0.9), (3.0, 0.5)):
        batch = torch.full((2, D), value)
        matching.update_averages(*matching.batch_moments(batch, -batch), keep=keep)
    # Weights 0.1 · 0.5 of the first batch, and 0.5 of the second.
    expected = (0.05 * 1.0 + 0.5 * 3.0) / 0.55
    assert (matching.means / matching.weight)[0].tolist() == pytest.approx([expected] * D)
    assert (matching.means / matching.weight)[1].tolist() == pytest.approx([-expected] * D)


def test_the_scale_of_a_feature_does_not_matter() -> None:
    stretched = torch.tensor([1.0, 10.0, 100.0, 0.1])
    plain, scaled = MomentMatching(D), MomentMatching(D)
    for matching, factor in ((plain, torch.ones(D)), (scaled, stretched)):
        matching.calibrate((REAL * factor).mean(0), (REAL * factor).square().mean(0))
        matching.update_averages(*matching.batch_moments(REAL * factor, FAKE * factor), keep=0.0)
        matching.solve_map()
    assert scaled(FAKE * stretched).item() == pytest.approx(plain(FAKE).item(), rel=1e-4)


def test_an_apple_gpu_is_given_no_float64(apple_gpu: AbstractContextManager[None]) -> None:
    expected = matched(REAL, FAKE)
    with apple_gpu:
        there = torch.device("mps")
        matching = MomentMatching(D).to(there)
        matching.update_averages(*matching.batch_moments(REAL.to(there), FAKE.to(there)), keep=0.0)
        matching.solve_map()
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(matching.get_buffer(name), buffer, rtol=0, atol=0)


def test_features_that_are_no_numbers_leave_the_map_as_it_was() -> None:
    """The losses of such a training are NaN, which its loop says in a sentence."""
    moments = MomentMatching(3)
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(20, 3, generator=draw), torch.randn(20, 3, generator=draw) + 1
    moments.update_averages(*moments.batch_moments(real, fake), keep=0.5)
    moments.solve_map()
    before = moments.optimal_map.clone()
    fake[0, 0] = torch.nan
    moments.update_averages(*moments.batch_moments(real, fake), keep=0.5)
    moments.solve_map()
    assert torch.equal(moments.optimal_map, before)
