"""Signs that a generator's outputs were saved without undoing their normalisation to −1 to 1.

The thresholds were set on CelebA at 64×64. In 1,000 faces, 1% of the values are exactly 0, and 0.07% of neighbouring
values differ by more than half the range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Fraction of values that are exactly 0. On CelebA it is 0.59 if negative values were clipped on saving.
ZEROS = 0.25
#: Fraction of neighbouring values that differ by more than half the range. It is 0.05 if values wrapped around on
#: saving, and 0.25 for pure noise.
JUMPS = (0.02, 0.15)
#: Limits for the range that the values use, from their 0.5th to their 99.5th percentile. The range starts at 127 if
#: images were denormalised twice.
DARKEST, SPAN = 100.0, 64.0


class PixelValues:
    """A running count of the pixel values of images of any size."""

    def __init__(self) -> None:
        self._counts = np.zeros(256, dtype=np.int64)
        self._neighbours = self._jumps = 0

    def update(self, images: npt.NDArray[np.uint8]) -> None:
        """Add images, uint8 [..., H, W, 3]."""
        if images.ndim > 3:  # one image at a time, because counting takes eight bytes per value
            for part in images:
                self.update(part)
            return
        self._counts += np.bincount(images.ravel(), minlength=256)
        left, right = images[..., :-1, :], images[..., 1:, :]
        self._jumps += int(np.count_nonzero(np.maximum(left, right) - np.minimum(left, right) > 128))
        self._neighbours += left.size

    def state(self) -> npt.NDArray[np.int64]:
        """Return all counts, int64 [258]; :meth:`restore` continues from them."""
        return np.array([*self._counts, self._neighbours, self._jumps], dtype=np.int64)

    def restore(self, state: npt.NDArray[np.int64]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: The array has another shape or dtype.
        """
        if state.shape != (258,) or state.dtype != np.int64:
            raise ValueError(f"expected counts int64 [258], got {state.dtype} {list(state.shape)}")
        self._counts, self._neighbours, self._jumps = state[:256].copy(), int(state[256]), int(state[257])

    @property
    def zeros(self) -> float:
        """The fraction of values that are exactly 0."""
        return float(self._counts[0] / max(self._counts.sum(), 1))

    @property
    def jumps(self) -> float:
        """The fraction of horizontal neighbours that differ by more than half the range."""
        return self._jumps / max(self._neighbours, 1)

    def percentile(self, percent: float) -> int:
        """Return the smallest value, 0 to 255, that ``percent`` percent of all values do not exceed."""
        shares = np.cumsum(self._counts) / max(self._counts.sum(), 1)
        return int(np.searchsorted(shares, percent / 100).clip(max=255))

    def sign(self) -> str | None:
        """Return the sign that the normalisation was not undone, as a clause; None if there is no sign."""
        darkest, brightest = self.percentile(0.5), self.percentile(99.5)
        if self._counts[1] and not self._counts[2:].any():
            return "all values are 0 or 1, as when values from 0 to 1 are saved without multiplying by 255"
        if self.zeros > ZEROS:
            return f"{self.zeros:.0%} of all values are exactly 0, as when values below zero are clipped on saving"
        if JUMPS[0] < self.jumps < JUMPS[1]:
            return (
                f"{self.jumps:.1%} of neighbouring values jump by more than half the range, as when values wrap around "
                "on saving"
            )
        if darkest >= DARKEST:
            return f"the darkest values are about {darkest} of 255, as when images are denormalised twice"
        if brightest - darkest < SPAN:
            return f"the values cover only {darkest} to {brightest} of the range 0 to 255"
        return None
