"""Latents: ways to draw them, to walk between them and to add them up."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from facegen.errors import InputError

#: Below this sine two latents point the same way, or opposite ways, and no great circle is told from another.
_PARALLEL = 1e-6


def normal_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Latents ``first`` to ``first + count − 1`` of ``seed``: float32 [count, latent_dim] ~ N(0, 1) on the CPU.

    Each is drawn by its own generator from (seed, index), so latent i is the same whatever the batch.
    """
    rows = []
    for index in range(first, first + count):
        # Odd multipliers spread (seed, index) over the 64-bit seeds of neighbouring pairs (Knuth's and Weyl's).
        key = (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
        rows.append(torch.randn(latent_dim, generator=torch.Generator().manual_seed(key)))
    return torch.stack(rows)


def sobol_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Quasi-random latents ``first`` to ``first + count − 1`` of ``seed``: float32 [count, latent_dim] on the CPU.

    Points of a Sobol sequence, scrambled by ``seed`` (Owen, "Scrambling Sobol' and Niederreiter–Xing points", 1998;
    torch's random matrix and shift), through the normal quantile: each latent is N(0, 1), and together they fill the
    space more evenly than independent ones. Latent i depends on (seed, i) only, but its neighbours do not leave it
    independent of them.

    Raises:
        InputError: more than 21,201 entries, which is how many directions Joe and Kuo (2008) tabulate.
    """
    if latent_dim > SobolEngine.MAXDIM:
        raise InputError(
            f"Sobol points have at most {SobolEngine.MAXDIM:,} dimensions, and the latents have {latent_dim:,}.",
            "Use --latents normal.",
        )
    engine = SobolEngine(latent_dim, scramble=True, seed=seed).fast_forward(first)
    # A point is a multiple of 2⁻³⁰ in [0, 1). Half a step keeps it from 0, the least upper bound of the others from 1:
    # torch rounds the first point to float32, which can be 1.
    half = 2.0 ** -(SobolEngine.MAXBIT + 1)
    points = engine.draw(count, dtype=torch.float64).add(half).clamp(max=1 - half)
    return torch.special.ndtri(points).float()


#: What ``facegen sample --latents`` takes.
LATENTS = {"normal": normal_latents, "sobol": sobol_latents}


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Latents on the way from ``start`` to ``end``: [D], [D], [T] in [0, 1] → [T, D], computed in float64.

    Spherical interpolation (White, "Sampling generative networks", arXiv:1609.04468): the direction goes
    along the great circle at an even pace. The norm goes evenly from one to the other, so that the walk stays where
    a normal prior has its mass; a straight line passes near the origin, where it has none. Fractions 0 and 1 give
    ``start`` and ``end``. Parallel latents are joined by the straight line.
    """
    low, high, at = start.double(), end.double(), fractions.double()[:, None]
    norms = low.norm(), high.norm()
    angle = torch.arccos((low @ high / (norms[0] * norms[1])).clamp(-1, 1))
    if not angle.sin() > _PARALLEL:  # or a latent is 0 and there is no angle
        return torch.lerp(low, high, at).to(start.dtype)
    direction = (((1 - at) * angle).sin() * low / norms[0] + (at * angle).sin() * high / norms[1]) / angle.sin()
    return (direction * torch.lerp(norms[0], norms[1], at)).to(start.dtype)


def combine(latents: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of different latents as a latent again: [N, D] ~ N(0, 1) and [N] → [D] ~ N(0, 1).

    The sum is divided by √(Σ weights²), its entries' standard deviation: so it is where the generator was trained,
    however many latents went in (Bodin et al., "Linear combinations of latents in generative models",
    arXiv:2408.08558). A mean of three would otherwise be as short as under a truncation of 0.58. DCGAN (Radford et
    al., arXiv:1511.06434, section 6.3.2) does not rescale; its own sum of three means of three has a factor of 1.

    Raises:
        ValueError: all weights are 0.
    """
    scale = weights.square().sum().sqrt()
    if scale == 0:
        raise ValueError("all weights are 0")
    return weights.to(latents.dtype) @ latents / scale
