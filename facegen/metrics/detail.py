"""How much fine detail images have: it tells apart the filters by which photographs were made smaller.

A resampling filter leaves coarse structure alone and cuts or folds the finest, so two sets of photographs that went
through different ones differ in the upper band of their power spectra and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.luma import LUMA_WEIGHTS

Floats = npt.NDArray[np.float64]

#: Bands in cycles a pixel; 0.5 is the finest that pixels can show.
_COARSE, _MIDDLE, _FINE = (0.03, 0.1), (0.1, 0.2), (0.35, 0.5)
#: Smaller images have too few frequencies; of larger ones the middle is enough.
_SMALLEST, _LARGEST = 32, 256


@dataclass(frozen=True)
class Detail:
    """Of ``n`` images: the mean and variance over them of log(middle/coarse) and log(fine/coarse) power, [2] each."""

    n: int
    mean: Floats
    variance: Floats


def log_detail(image: npt.NDArray[np.uint8]) -> Floats | None:
    """log(middle/coarse) and log(fine/coarse), the power in bands of the luma's spectrum, of uint8 [H, W, 3].

    None for an image with a side under 32. The window keeps the edges from looking like detail; the power that rounding
    to bytes leaves anywhere is added, so that a flat image has a spectrum too.
    """
    height, width = (min(side, _LARGEST) for side in image.shape[:2])
    if min(height, width) < _SMALLEST:
        return None
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    luma = image[top : top + height, left : left + width] @ LUMA_WEIGHTS
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    power = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2 + (window**2).sum() / 12
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    coarse, middle, fine = (power[(radius >= low) & (radius < high)].mean() for low, high in (_COARSE, _MIDDLE, _FINE))
    return np.log([middle / coarse, fine / coarse])


#: On 1,500 CelebA faces at 64×64, against the same ones by Pillow's antialiased bilinear filter, the mean
#: log(fine/coarse) moves by 0.51 with bicubic, 0.79 with Lanczos, 0.71 with box, 1.2 with bilinear without antialiasing
#: and 1.4 with nearest. Other faces move it by 0.05, JPEG of quality 75 and more by 0.07, and of 50 by 0.26.
DIFFERENT = 0.35
#: All these filters move log(middle/coarse) by 0.13 at most, and enlarging from 48 pixels by 0.26. Beyond that the
#: contents differ: a DCGAN's images are 0.3 to 0.9 apart, whatever its training.
ALIKE = 0.3
#: More than any of these filters adds: noise or dithering to 256 colours (1.6), a generator in its first minutes (2.0).
_NO_FILTER = 1.5


def detail_factor(first: Detail, second: Detail) -> float | None:
    """By what factor ``first`` has more fine detail than ``second``, where a resampling filter would explain it.

    None where the sets are alike, where they are too few to tell (three standard errors), or where they differ at
    middle frequencies too, as blurred, enlarged or generated images do.
    """
    middle, fine = first.mean - second.mean
    error = np.sqrt(first.variance / first.n + second.variance / second.n)
    if abs(middle) > ALIKE or not DIFFERENT + 3 * error[1] <= abs(fine) <= (_NO_FILTER if fine > 0 else np.inf):
        return None
    return float(np.exp(fine))
