"""A frame of an animation: an image above a line of text and a progress bar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from facegen.printable import printable

INK, QUIET, LINE, VALUE = (27, 31, 35), (90, 97, 104), (228, 225, 218), (40, 90, 140)


def captioned(
    image: npt.NDArray[np.uint8], left: str, right: str, progress: float, *, scale: int = 1
) -> npt.NDArray[np.uint8]:
    """Scale uint8 [H, W, 3] by ``scale`` and put a caption below it.

    Args:
        left, right: The two ends of the caption. The right end is omitted if there is no space for both.
        progress: The filled fraction of the bar, 0 to 1.
    """
    height, width = image.shape[0] * scale, image.shape[1] * scale
    size = max(12, min(22, width // 18))
    font = ImageFont.load_default(size=size)
    edge, line = max(4, size // 3), max(3, size // 5)
    page = Image.new("RGB", (width, height + size + 2 * edge + line), "white")
    page.paste(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC), (0, 0))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, height, width, height + line - 1), fill=LINE)
    done = round(width * min(max(progress, 0.0), 1.0))
    if done:
        draw.rectangle((0, height, done - 1, height + line - 1), fill=VALUE)
    left, right = printable(left), printable(right)
    base = height + line + edge
    draw.text((edge, base), left, fill=INK, font=font)
    if font.getlength(left) + font.getlength(right) + 3 * edge <= width:
        draw.text((width - edge, base), right, fill=QUIET, font=font, anchor="ra")
    return np.asarray(page)
