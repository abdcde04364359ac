"""The one resize and crop: torchvision's ``Compose([Resize(size), CenterCrop(size)])`` in two Pillow calls.

Written out so that worker processes start without importing torch; tests hold it to torchvision bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.data.decode import MAX_PIXELS, Unreadable


def resize_and_crop(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Scale the shorter side of an RGB image to ``size`` and cut the central square: uint8 [size, size, 3].

    Bilinear with antialiasing, as torchvision resizes PIL images; the longer side is truncated, the crop's offset
    rounded half to even. Raises ``Unreadable`` for a strip so long that the scaled image would exhaust memory.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled_long = size * long // short  # never below size: the crop has nothing to pad
    if size * scaled_long > MAX_PIXELS:
        raise Unreadable(f"{width}×{height} is too long a strip to scale")
    scaled = (size, scaled_long) if width <= height else (scaled_long, size)
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))
