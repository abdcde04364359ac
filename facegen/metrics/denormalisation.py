"""Whether images look as if a generator's outputs were saved without undoing their normalisation to −1 to 1.

The thresholds were set on CelebA at 64x64: of 1,000 faces, 1% of the values are exactly 0 and 0.07% of neighbours
differ by more than half the range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Share of values that are exactly 0. Negative values clipped on saving make it 0.59 on CelebA.
ZEROS = 0.25
#: Share of neighbours differing by over half the range: values wrapped around on saving make it 0.05; pure noise, 0.25.
JUMPS = (0.02, 0.15)
#: The range that values use, from their 0.5th to their 99.5th percentile: denormalised twice, it starts at 127.
DARKEST, SPAN = 100.0, 64.0


class PixelValues:
    """Counts the values of images as they come, whatever their number and sizes."""

    def __init__(self) -> None:
        self._counts = np.zeros(256, dtype=np.int64)
        self._neighbours = self._jumps = 0

    def update(self, images: npt.NDArray[np.uint8]) -> None:
        """Add uint8 images, [..., H, W, 3]."""
        if images.ndim > 3:  # one by one: counting takes eight bytes a value
            for part in images:
                self.update(part)
            return
        self._counts += np.bincount(images.ravel(), minlength=256)
        left, right = images[..., :-1, :], images[..., 1:, :]
        self._jumps += int(np.count_nonzero(np.maximum(left, right) - np.minimum(left, right) > 128))
        self._neighbours += left.size

    def state(self) -> npt.NDArray[np.int64]:
        """All counts, [258]; :meth:`restore` goes on from them."""
        return np.array([*self._counts, self._neighbours, self._jumps], dtype=np.int64)

    def restore(self, state: npt.NDArray[np.int64]) -> None:
        """Go on from what :meth:`state` gave. ValueError where it is something else."""
        if state.shape != (258,) or state.dtype != np.int64:
            raise ValueError(f"expected counts int64 [258], got {state.dtype} {list(state.shape)}")
        self._counts, self._neighbours, self._jumps = state[:256].copy(), int(state[256]), int(state[257])

    @property
    def zeros(self) -> float:
        """Share of values that are exactly 0."""
        return float(self._counts[0] / max(self._counts.sum(), 1))

    @property
    def jumps(self) -> float:
        """Share of horizontal neighbours that differ by over half the range."""
        return self._jumps / max(self._neighbours, 1)

    def percentile(self, percent: float) -> int:
        """The smallest value, 0 to 255, that this part of all values does not exceed."""
        shares = np.cumsum(self._counts) / max(self._counts.sum(), 1)
        return int(np.searchsorted(shares, percent / 100).clip(max=255))

    def sign(self) -> str | None:
        """What tells that the normalisation was not undone, in words; None where nothing does."""
        darkest, brightest = self.percentile(0.5), self.percentile(99.5)
        if self._counts[1] and not self._counts[2:].any():
            return "all values are 0 or 1, as when 0 to 1 is saved without multiplying by 255"
        if self.zeros > ZEROS:
            return f"{self.zeros:.0%} of all values are exactly 0, as when values below zero are clipped on saving"
        if JUMPS[0] < self.jumps < JUMPS[1]:
            return (
                f"{self.jumps:.1%} of neighbouring values jump by over half the range, as when values wrap around on "
                "saving"
            )
        if darkest >= DARKEST:
            return f"values start at {darkest} of 255, as when images are denormalised twice"
        if brightest - darkest < SPAN:
            return f"values use {darkest} to {brightest} of 0 to 255 only"
        return None
