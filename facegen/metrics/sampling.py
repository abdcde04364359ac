"""Random samples of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sample_rows(total: int, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return ``count`` random row numbers below ``total``, without repetition and in ascending order.

    If ``count`` is ``total`` or more, return all row numbers.
    """
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])
