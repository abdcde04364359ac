"""Face detection with OpenCV's Haar cascade, for the flag ``no_faces``.

Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features" (2001). The detector says nothing
about quality: it found a face in 73% of the images of a generator with an FID of 246, and in 54% of real images.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Number of images of a submission that are searched, evenly spaced. Each takes a few milliseconds.
SAMPLE = 100
_CASCADE = "haarcascade_frontalface_alt2.xml"
#: The side to which an image is enlarged, the smallest face in it, the scale factor, and the fewest neighbours.
_SIDE, _SMALLEST, _SCALE, _NEIGHBOURS = 128, 56, 1.1, 2


@cache
def detector() -> str | None:
    """Return the name and version of the detector.

    Return None without OpenCV, or with a version that has no cascades, such as OpenCV 5.
    """
    try:
        import cv2
        import cv2.data
    except ImportError:
        return None
    has_all = hasattr(cv2, "CascadeClassifier") and (Path(cv2.data.haarcascades) / _CASCADE).is_file()
    return f"OpenCV {cv2.__version__}" if has_all else None


def rows_looked_at(count: int) -> npt.NDArray[np.int64]:
    """Return the rows of the images that are searched, int64 [min(count, SAMPLE)], in rising order."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))


def measure_faces(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Search uint8 [N, S, S, 3] images for faces; return 1 for each searched image with a face, else 0: float64 [K].

    K is 0 if no detector is installed.
    """
    if detector() is None:
        return np.zeros(0)
    return np.array([has_face(images[row]) for row in rows_looked_at(len(images))], dtype=np.float64)


def has_face(image: npt.NDArray[np.uint8]) -> bool:
    """Return whether a face is found in uint8 [S, S, 3]. A :func:`detector` must be installed."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    found = _cascade().detectMultiScale(large, _SCALE, _NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST))
    return len(found) > 0


@cache
def _cascade() -> Any:
    import cv2
    import cv2.data

    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / _CASCADE))
