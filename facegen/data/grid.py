"""Contact sheets: many small images as one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.files import atomic_path


def contact_sheet(images: npt.NDArray[np.uint8], *, columns: int | None = None, gap: int = 2) -> npt.NDArray[np.uint8]:
    """uint8 [N, H, W, 3] → one white-gapped uint8 image, row by row; as square as can be unless ``columns`` says."""
    count, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (
            gap + place * (side + gap) for place, side in zip(divmod(index, columns), (height, width), strict=True)
        )
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write a uint8 [H, W, 3] image as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
