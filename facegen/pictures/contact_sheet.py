"""Contact sheets and figures: many images in one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from facegen.errors import InputError
from facegen.files import atomic_path, open_regular, require_place
from facegen.printable import printable

#: The mark of facegen's drawings in a text chunk of a PNG or the comment of a GIF or MP4, and the number of bytes at
#: the start that contain it. In an MP4 the index of frames comes before it.
DRAWN_BY, _HEAD, _MP4_HEAD = b"facegen", 4096, 1 << 20

#: The comment in the metadata of an MP4: its length, its type, and the length of the text.
_MP4_COMMENT = re.compile(rb"\xa9cmt....data\0\0\0\x01....%s" % DRAWN_BY, re.DOTALL)


def contact_sheet(images: npt.NDArray[np.uint8], *, columns: int | None = None, gap: int = 2) -> npt.NDArray[np.uint8]:
    """Arrange uint8 [N, H, W, 3] in rows with white gaps, as one uint8 image.

    It is as square as possible unless ``columns`` is given.
    """
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
    """Write a uint8 [H, W, 3] image as PNG, atomically. A text chunk says that facegen made it."""
    info = PngInfo()
    info.add_text("Software", DRAWN_BY.decode())
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=info)


def require_ours(path: Path) -> None:
    """Check before the work that a drawing may be written at ``path``.

    Args:
        path: A PNG, GIF or MP4 to be written. It need not exist, and neither need its folders.

    Raises:
        InputError: A file exists there that is not empty and was not made by facegen, so it must not be replaced.
        OSError: As :func:`facegen.files.require_place`.
    """
    require_place(path)
    if is_foreign(path):
        raise InputError(
            f"{path} exists already, and facegen did not make it, so it is not replaced.",
            "Move it, or name another file.",
        )


def is_foreign(path: Path) -> bool:
    """Return whether the file at ``path`` is not empty and does not carry facegen's mark."""
    if not path.exists():
        return False
    with open_regular(path) as file:
        head = file.read(_HEAD)
        if head[4:8] == b"ftyp":
            head += file.read(_MP4_HEAD)
            return _MP4_COMMENT.search(head) is None
    return bool(head) and b"tEXtSoftware\0" + DRAWN_BY not in head and b"!\xfe\x07" + DRAWN_BY not in head


def figure(panels: Sequence[tuple[str, npt.NDArray[np.uint8]]], *, gap: int = 16) -> npt.NDArray[np.uint8]:
    """Place uint8 [H, W, 3] images side by side on white, each below its caption."""
    font = ImageFont.load_default(size=14)
    captions = [_wrapped(printable(caption), font, image.shape[1]) for caption, image in panels]
    line = 18
    top = gap + line * max(len(lines) for lines in captions) + 4
    height = top + max(image.shape[0] for _, image in panels) + gap
    width = gap + sum(image.shape[1] + gap for _, image in panels)
    page = Image.new("RGB", (width, height), "white")
    draw, left = ImageDraw.Draw(page), gap
    for lines, (_, image) in zip(captions, panels, strict=True):
        for index, text in enumerate(lines):
            # The last line of the caption touches the image.
            draw.text((left, top - 4 - line * (len(lines) - index)), text, fill="black", font=font)
        page.paste(Image.fromarray(image), (left, top))
        draw.rectangle((left - 1, top - 1, left + image.shape[1], top + image.shape[0]), outline="lightgrey")
        left += image.shape[1] + gap
    return np.asarray(page)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
