"""The overlap of generated and real features: improved precision and recall, density and coverage.

The manifold of each set is estimated as a union of balls, one around each row. The radius of a ball is the distance to
the row's k-th nearest neighbour in the same set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.pairs import Floats, feature_rows, require_same_width, row_blocks, squared_distances

#: A squared radius is shortened by this fraction, so that a tie lies outside, however its two distances are rounded.
_EDGE = 1e-9


@dataclass(frozen=True)
class ManifoldMetrics:
    """Four measures of overlap, and the support of every generated image.

    Attributes:
        precision: Fraction of generated rows that lie inside any real ball, 0 to 1.
        recall: Fraction of real rows that lie inside any generated ball, 0 to 1.
        density: Average number of real balls in which a generated row lies, divided by k. It is 1 for equal
            distributions, and has no upper bound.
        coverage: Fraction of real balls that contain a generated row, 0 to 1.
        support: For each generated row, the least distance/radius over all real balls, float64 [n]. It is below 1
            inside a ball, and grows the less the row looks like any real one.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    support: Floats


def manifold_metrics(
    real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating], *, neighbours: int = 5
) -> ManifoldMetrics:
    """Compute precision, recall, density and coverage of generated features against real ones.

    Precision and recall are from Kynkäänniemi et al. (arXiv:1904.06991), equations 1 and 2, who use k = 3 and equal
    numbers of real and generated rows. Density and coverage are from Naeem et al. (arXiv:2002.09797), equations 4 and
    5, who use k = 5. ``support`` is the reciprocal of realism (Kynkäänniemi et al., equation 3), taken over all
    balls.

    Balls are open, as in the program of Naeem et al.: a row at exactly a ball's radius is outside, and a row with k
    or more copies in its set has an empty ball. Kynkäänniemi et al. count the edge as inside; features almost never
    tie.

    The values hold only for their m and n. For equal distributions, density is 1 for any m and n, but coverage is 1 −
    ∏(m − i)/(n + m − i), i from 1 to k: 0.97 at m = n, and 0.38 at m = 10n. With more real than generated rows,
    coverage cannot be near 1, so give the same number of both. Precision and recall change less, and by how much
    depends on the data. Time grows with (m + n)²; memory does not.

    Args:
        real: Real features [m, D], m > k.
        generated: Generated features [n, D], n > k.
        neighbours: The k of the k-th nearest neighbour, at least 1.

    Raises:
        ValueError: There are too few rows, the widths differ, the features are not finite, or ``neighbours`` is below
            1.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    real = feature_rows(real, "real", neighbours + 1)
    generated = feature_rows(generated, "generated", neighbours + 1)
    require_same_width(real, generated)
    real_radii, generated_radii = _squared_radii(real, neighbours), _squared_radii(generated, neighbours)

    balls = np.zeros(len(generated), dtype=np.int64)  # number of real balls around each generated row
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
    """Return the expected coverage if ``generated`` rows and ``reals`` others have the same distribution.

    The formula is lemma 2 of Naeem et al. (arXiv:2002.09797).
    """
    return 1 - math.prod((reals - i) / (generated + reals - i) for i in range(1, neighbours + 1))


def _squared_radii(features: Floats, neighbours: int) -> Floats:
    """Return the squared distance of each row [n, D] to its k-th nearest other row, [n]."""
    radii = np.empty(len(features))
    for rows in row_blocks(len(features), len(features)):
        squares = squared_distances(features[rows], features)
        squares.partition(neighbours, axis=1)  # index 0 is the row itself, at distance 0
        radii[rows] = squares[:, neighbours]
    return radii
