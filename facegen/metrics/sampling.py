"""Which rows stand for all of a set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sample_rows(total: int, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """``count`` of range(total) at random, rising; all of them where there are no more."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])
