"""The one resize and crop: torchvision's ``Compose([Resize(size), CenterCrop(size)])`` in two Pillow calls.

With ``crop`` it is ``Compose([CenterCrop(crop), Resize(size)])``.

It is written out here so that worker processes start without importing torch. Tests compare it with torchvision bit for
bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.data.decode import MAX_PIXELS, Unreadable


def resize_and_crop(image: Image.Image, size: int, crop: int | None = None) -> npt.NDArray[np.uint8]:
    """Scale the shorter side of an RGB image to ``size`` and cut the central square: uint8 [size, size, 3].

    The scaling is bilinear with antialiasing, as torchvision resizes PIL images. The longer side is truncated, and
    the offset of the crop is rounded half to even. With ``crop``, the central square of that side is cut first and
    then scaled.

    Raises:
        Unreadable: The image is a strip so long that the scaled image would exhaust memory, or it is smaller than
            ``crop``. torchvision would pad a smaller image with black.
    """
    width, height = image.size
    if crop is not None:
        if min(width, height) < crop:
            raise Unreadable(f"{width}×{height} pixels, smaller than the crop of {crop}×{crop}")
        image = _central_square(image, crop)
        width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled_long = size * long // short  # Never below size, so the crop needs no padding.
    if size * scaled_long > MAX_PIXELS:
        raise Unreadable(f"{width}×{height} pixels, too long a strip to scale")
    scaled = (size, scaled_long) if width <= height else (scaled_long, size)
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.BILINEAR)
    return np.asarray(_central_square(image, size))


def _central_square(image: Image.Image, side: int) -> Image.Image:
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side))
