from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facegen.pictures.svg import nice_ticks


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_and_are_few(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    assert ticks[0] <= low + 1e-6 and ticks[-1] >= low + width - 1e-6
    assert 2 <= len(ticks) <= 10 and len(np.unique(np.diff(ticks).round(9))) <= 1 + (len(ticks) > 2)


def test_ticks_by_hand() -> None:
    assert nice_ticks(0, 117.9) == [0, 20, 40, 60, 80, 100, 120]
    assert nice_ticks(16.1, 16.9) == [16.0, 16.2, 16.4, 16.6, 16.8, 17.0]
