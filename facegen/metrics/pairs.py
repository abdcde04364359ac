"""All pairs of rows of two sets of features, one block at a time.

The n×m matrix of all pairs is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BLOCK = 4_000_000  # pairs: 32 MB of float64
#: Squared distances below this fraction of the squared norms become 0. Rounding leaves less than 1e-13 of a true 0. The
#: float32 features of one image differ by some 1e-13 from batch to batch, and different images by far more.
_SAME = 1e-12


def feature_rows(features: npt.NDArray[np.floating], name: str, at_least: int) -> Floats:
    """Return ``features`` as float64 [n, D].

    Args:
        features: The features to convert.
        name: What error messages call these features, such as "generated".
        at_least: Minimum number of rows.

    Raises:
        ValueError: The features are not two-dimensional, have fewer than ``at_least`` rows, or hold NaN or infinity.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"expected the {name} features as [n, D], got {list(rows.shape)}")
    if len(rows) < at_least:
        raise ValueError(f"expected at least {at_least} {name} features, got {len(rows)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"the {name} features are not all finite")
    return rows


def require_same_width(first: Floats, second: Floats) -> None:
    """Raise ValueError if features [n, D] and [m, D] do not have the same D."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"features of {first.shape[1]} and {second.shape[1]} dimensions cannot be compared")


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Return slices that cover ``range(rows)``, one per block of pairs.

    Each slice holds as many rows as fit into one block together with ``columns`` other rows.
    """
    step = max(_BLOCK // max(columns, 1), 1)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def squared_distances(first: Floats, second: Floats) -> Floats:
    """Compute ‖x − y‖² for all rows x of ``first`` [n, D] and y of ``second`` [m, D], as [n, m].

    Copies have a distance of exactly 0.
    """
    norms = np.einsum("nd,nd->n", first, first)[:, None] + np.einsum("md,md->m", second, second)
    squares = first @ second.T
    squares *= -2
    squares += norms
    squares[squares < _SAME * norms] = 0
    return squares
