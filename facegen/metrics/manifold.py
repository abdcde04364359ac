"""How generated features and real ones overlap: improved precision and recall, density and coverage.

Each set's manifold is guessed as balls, one around each row that just reaches its k-th nearest neighbour of that set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.pairs import Floats, feature_rows, require_same_width, row_blocks, squared_distances

#: A ball ends this part short of its radius, squared: a tie lies outside whichever way its two distances are rounded.
_EDGE = 1e-9


@dataclass(frozen=True)
class ManifoldMetrics:
    """Four shares, and what stands behind them for every image.

    Attributes:
        precision: the share of generated rows inside any real ball, 0 to 1.
        recall: the share of real rows inside any generated ball, 0 to 1.
        density: how many real balls a generated row lies in, over k; 1 for equal distributions, but without a bound.
        coverage: the share of real balls with a generated row inside, 0 to 1.
        support: [n], for each generated row the least of distance/radius over all real balls: below 1 inside one,
            and the larger the less the row looks like any real one.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    support: Floats


def manifold_metrics(
    real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating], *, neighbours: int = 5
) -> ManifoldMetrics:
    """Compare real features [m, D] and generated ones [n, D], both with more rows than ``neighbours``, which is k.

    Precision and recall: Kynkäänniemi et al. (arXiv:1904.06991), equations 1 and 2, with k = 3 there and equal numbers
    of both. Density and coverage: Naeem et al. (arXiv:2002.09797), equations 4 and 5, with k = 5. ``support`` is the
    reciprocal of the former's realism (equation 3), over all balls.

    Balls are open, as in Naeem et al.'s own program: a row at exactly a ball's radius is outside, and a row with k or
    more copies in its set has an empty ball. (Kynkäänniemi et al. count the edge as inside; features hardly ever tie.)

    Values hold for their m and n only. For equal distributions density is 1 whatever they are, but coverage is
    1 − ∏(m − i)/(n + m − i), i from 1 to k: 0.97 at m = n, 0.38 at m = 10n. More reals than generated rows, and
    coverage cannot be near 1: give as many of both. Precision and recall move less, and by how much depends on
    the data. Time grows with (m + n)², memory does not.

    Raises:
        ValueError: too few rows, different widths, or features that are not finite.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    real = feature_rows(real, "real", neighbours + 1)
    generated = feature_rows(generated, "generated", neighbours + 1)
    require_same_width(real, generated)
    real_radii, generated_radii = _squared_radii(real, neighbours), _squared_radii(generated, neighbours)

    balls = np.zeros(len(generated), dtype=np.int64)  # that each generated row lies in
    support = np.full(len(generated), np.inf)
    covered = recalled = 0
    for rows in row_blocks(len(real), len(generated)):
        squares, radii = squared_distances(real[rows], generated), real_radii[rows, None]
        inside = squares < radii * (1 - _EDGE)
        balls += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squares < generated_radii * (1 - _EDGE)).any(axis=1).sum())
        ratios = np.divide(squares, radii, out=np.where(squares > 0, np.inf, 1.0), where=radii > 0)
        np.minimum(support, ratios.min(axis=0), out=support)
    return ManifoldMetrics(
        precision=float((balls > 0).mean()),
        recall=recalled / len(real),
        density=float(balls.mean() / neighbours),
        coverage=covered / len(real),
        support=np.sqrt(support),
    )


def equal_coverage(reals: int, generated: int, neighbours: int = 5) -> float:
    """The coverage of ``generated`` rows and ``reals`` others of one distribution: Naeem et al., lemma 2."""
    return 1 - math.prod((reals - i) / (generated + reals - i) for i in range(1, neighbours + 1))


def _squared_radii(features: Floats, neighbours: int) -> Floats:
    """For each row [n, D] the squared distance to its k-th nearest other, [n]."""
    radii = np.empty(len(features))
    for rows in row_blocks(len(features), len(features)):
        squares = squared_distances(features[rows], features)
        squares.partition(neighbours, axis=1)  # the nearest of all is the row itself, at 0
        radii[rows] = squares[:, neighbours]
    return radii
