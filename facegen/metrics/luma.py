"""The brightness of RGB pixels."""

from __future__ import annotations

import numpy as np

#: The weights of red, green and blue in luma, by ITU-R BT.601: float64 [3].
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114])
