"""Latents are normal, lie where they should, and depend on what they are said to depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.quasirandom import SobolEngine

from facegen.errors import InputError
from facegen.gan.latents import combine, normal_latents, slerp, sobol_latents


class TestNormal:
    def test_a_latent_depends_on_seed_and_index_only(self) -> None:
        whole = normal_latents(7, 0, 10, 100)
        assert torch.equal(whole[4:6], normal_latents(7, 4, 2, 100))
        assert not torch.equal(whole, normal_latents(8, 0, 10, 100))

    def test_latents_are_standard_normal_and_uncorrelated(self) -> None:
        latents = normal_latents(0, 0, 2000, 100)
        assert abs(latents.mean()) < 0.01 and abs(latents.std() - 1) < 0.01
        neighbours = (latents[1:] * latents[:-1]).sum(1) / 100
        assert abs(neighbours.mean()) < 0.01


class TestSobol:
    def test_marginals_are_normal(self) -> None:
        latents = sobol_latents(0, 0, 1024, 100).double().numpy()
        worst = min(stats.kstest(column, "norm").pvalue for column in latents.T)
        assert worst > 0.5  # far nearer to normal than independent draws, whose least p of 100 is about 0.01

    def test_discrepancy_is_lower_than_that_of_independent_latents(self) -> None:
        def discrepancy(latents: Tensor) -> float:
            return float(stats.qmc.discrepancy(stats.norm.cdf(latents.numpy()), method="L2-star"))

        sobol = [discrepancy(sobol_latents(seed, 0, 256, 4)) for seed in range(5)]
        independent = [discrepancy(normal_latents(seed, 0, 256, 4)) for seed in range(5)]
        assert max(sobol) < 0.5 * min(independent)

    def test_points_are_torchs(self) -> None:
        points = SobolEngine(6, scramble=True, seed=3).draw(64, dtype=torch.float64).numpy()
        np.testing.assert_allclose(sobol_latents(3, 0, 64, 6).numpy(), stats.norm.ppf(points), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("pieces", [[1] * 40, [32, 8], [7, 33]])
    def test_latent_i_is_the_same_whatever_the_batch(self, pieces: list[int]) -> None:
        firsts = np.cumsum([0, *pieces[:-1]])
        parts = [sobol_latents(5, int(first), count, 10) for first, count in zip(firsts, pieces, strict=True)]
        assert torch.equal(torch.cat(parts), sobol_latents(5, 0, 40, 10))

    def test_seeds_differ(self) -> None:
        assert not torch.equal(sobol_latents(0, 0, 8, 10), sobol_latents(1, 0, 8, 10))

    @pytest.mark.parametrize("corner", [0.0, 1.0])
    def test_the_cubes_corners_are_finite(self, monkeypatch: pytest.MonkeyPatch, corner: float) -> None:
        def draw(engine: SobolEngine, n: int, dtype: torch.dtype) -> Tensor:
            return torch.full((n, 2), corner, dtype=dtype)

        monkeypatch.setattr(SobolEngine, "draw", draw)
        # The quantile of half a step from the end: 2⁻³¹.
        expected = math.copysign(stats.norm.isf(2.0**-31), corner - 0.5)
        torch.testing.assert_close(sobol_latents(0, 0, 1, 2), torch.full((1, 2), expected))

    def test_the_most_dimensions_are_drawn_and_more_are_refused(self) -> None:
        assert sobol_latents(0, 0, 2, 21_201).isfinite().all()
        with pytest.raises(InputError, match="--latents normal"):
            sobol_latents(0, 0, 1, 21_202)


class TestSlerp:
    def test_halves_a_right_angle(self) -> None:
        (half,) = slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0]), torch.tensor([0.5]))
        # Half-way round, and half-way from length 2 to length 4.
        torch.testing.assert_close(half, torch.tensor([3.0, 3.0]) / math.sqrt(2))

    def test_turns_at_an_even_pace_and_keeps_to_the_norms(self) -> None:
        low, high = normal_latents(0, 0, 2, 100)
        walk = slerp(low, high, torch.linspace(0, 1, 9)).double()
        norms = walk.norm(dim=1)
        torch.testing.assert_close(norms, torch.linspace(float(norms[0]), float(norms[-1]), 9).double())
        units = walk / norms[:, None]
        angles = (units[:-1] * units[1:]).sum(1).arccos()
        torch.testing.assert_close(angles, angles[:1].expand(8))

    def test_ends_are_the_latents_to_the_bit(self) -> None:
        latents = normal_latents(1, 0, 64, 100)
        for low, high in zip(latents[:32], latents[32:], strict=True):
            assert torch.equal(slerp(low, high, torch.tensor([0.0, 1.0])), torch.stack([low, high]))

    @pytest.mark.parametrize("end", [[3.0, 6.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
    def test_parallel_latents_are_joined_by_a_line(self, end: list[float]) -> None:
        start = torch.tensor([1.0, 2.0])
        (quarter,) = slerp(start, torch.tensor(end), torch.tensor([0.25]))
        torch.testing.assert_close(quarter, 0.75 * start + 0.25 * torch.tensor(end))


class TestCombine:
    def test_dcgans_sum_of_three_means_of_three_is_not_rescaled(self) -> None:
        latents = normal_latents(0, 0, 9, 50)
        a, b, c = latents.split(3)
        weights = torch.tensor([1.0] * 3 + [-1.0] * 3 + [1.0] * 3) / 3
        torch.testing.assert_close(combine(latents, weights), a.mean(0) - b.mean(0) + c.mean(0))

    @pytest.mark.parametrize("weights", [[0.2] * 5, [1.0, -1.0, 1.0, 0.0, 0.0], [3.0, 0.1, 0.0, 0.0, -2.0]])
    def test_a_sum_of_latents_is_distributed_as_a_latent(self, weights: list[float]) -> None:
        total = combine(normal_latents(2, 0, 5, 5000), torch.tensor(weights))
        assert stats.kstest(total.numpy(), "norm").pvalue > 0.05

    def test_no_weight_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="all weights are 0"):
            combine(normal_latents(0, 0, 2, 5), torch.zeros(2))
