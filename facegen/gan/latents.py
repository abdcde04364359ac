"""Latents: sampling, interpolation and arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from facegen.errors import InputError

#: If the sine of the angle between two latents is smaller, they are parallel and no great circle is defined.
_PARALLEL = 1e-6


def normal_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Sample latents ``first`` to ``first + count − 1`` of ``seed``: float32 [count, latent_dim] ~ N(0, 1) on the CPU.

    Each latent has a random generator of its own, seeded by (seed, index). Latent i is therefore the same in every
    batch.
    """
    rows = []
    for index in range(first, first + count):
        # Odd multipliers spread neighbouring (seed, index) over the 64-bit seeds (Knuth's and Weyl's constants).
        key = (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
        rows.append(torch.randn(latent_dim, generator=torch.Generator().manual_seed(key)))
    return torch.stack(rows)


def sobol_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Sample quasi-random latents ``first`` to ``first + count − 1`` of ``seed``: float32 [count, latent_dim].

    They are the points of a Sobol sequence, scrambled by ``seed`` (Owen, "Scrambling Sobol' and Niederreiter–Xing
    points", 1998; torch's random matrix and shift) and mapped through the normal quantile. Each latent is N(0, 1).
    Together they fill the space more evenly than independent latents. Latent i depends on (seed, i) only, but it is
    not independent of its neighbours.

    Raises:
        InputError: The latents have more than 21,201 entries, the number of directions that Joe and Kuo (2008)
            tabulate.
    """
    if latent_dim > SobolEngine.MAXDIM:
        raise InputError(
            f"Sobol points have at most {SobolEngine.MAXDIM:,} dimensions, but the latents have {latent_dim:,}.",
            "Use --latents normal.",
        )
    engine = SobolEngine(latent_dim, scramble=True, seed=seed).fast_forward(first)
    # A point is a multiple of 2⁻³⁰ in [0, 1). Half a step keeps it above 0, and the largest float32 below 1 keeps it
    # below 1: torch rounds the first point to float32, which can give 1.
    half = 2.0 ** -(SobolEngine.MAXBIT + 1)
    points = engine.draw(count, dtype=torch.float64).add(half).clamp(max=1 - half)
    return torch.special.ndtri(points).float()


#: Ways to sample latents, by their name in ``facegen sample --latents``.
LATENTS = {"normal": normal_latents, "sobol": sobol_latents}


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Interpolate between two latents: [D], [D], fractions [T] in [0, 1] → [T, D], computed in float64.

    This is spherical interpolation (White, "Sampling generative networks", arXiv:1609.04468). The direction moves
    along the great circle at a constant pace, and the norm changes linearly, so that the path stays where a normal
    prior has its mass. A straight line would pass near the origin, where it has none. Fractions 0 and 1 give
    ``start`` and ``end``. Parallel latents are joined by a straight line.
    """
    low, high, at = start.double(), end.double(), fractions.double()[:, None]
    norms = low.norm(), high.norm()
    angle = torch.arccos((low @ high / (norms[0] * norms[1])).clamp(-1, 1))
    if not angle.sin() > _PARALLEL:  # also true if a latent is 0 and there is no angle
        return torch.lerp(low, high, at).to(start.dtype)
    direction = (((1 - at) * angle).sin() * low / norms[0] + (at * angle).sin() * high / norms[1]) / angle.sin()
    return (direction * torch.lerp(norms[0], norms[1], at)).to(start.dtype)


def combine(latents: Tensor, weights: Tensor) -> Tensor:
    """Add latents with weights and rescale the sum to a latent: [N, D] ~ N(0, 1) and weights [N] → [D] ~ N(0, 1).

    The latents must be different ones. Their weighted sum is divided by its standard deviation √(Σ weights²). The
    result then has the distribution that the generator was trained on, however many latents were added (Bodin et al.,
    "Linear combinations of latents in generative models", arXiv:2408.08558). Without it, a mean of three latents
    would be as short as under a truncation of 0.58. DCGAN (Radford et al., arXiv:1511.06434, section 6.3.2) does not
    rescale; for its sum of three means of three the factor is 1.

    Raises:
        ValueError: All weights are 0.
    """
    scale = weights.square().sum().sqrt()
    if scale == 0:
        raise ValueError("all weights are 0")
    return weights.to(latents.dtype) @ latents / scale
