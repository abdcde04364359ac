"""Encoded image bytes to an 8-bit RGB picture, one way for every stage.

The pixels are those stored in the file: an EXIF orientation is not applied, as torchvision's ``ImageFolder`` and
``CelebA`` do not apply it either. What had to be changed to get to RGB is told in ``Decoded.note``.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

#: More pixels than this are taken for a decompression bomb (Pillow's own warning level: 89 million).
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3

#: Formats Pillow opens that are no still pictures, or that it hands to another program (Ghostscript for EPS).
_NOT_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})

#: What Pillow's readers raise on damaged data; each of them was met by damaging files at random.
_DAMAGE = (
    OSError,  # includes UnidentifiedImageError and truncated data
    SyntaxError,  # broken PNG chunks and headers of most formats
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_EXIF_ORIENTATION = 0x0112

COMPOSITED = "composited on white"
SIXTEEN_BIT = "reduced from 16 to 8 bits"
TURNED = "kept as stored, EXIF orientation not applied"


class Unreadable(Exception):
    """An image that cannot be read; ``reason`` says why in a few words. Stages skip it or make it an InputError."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """An RGB picture at its native size, and what was done to get it (``None``: nothing worth telling)."""

    image: Image.Image
    note: str | None = None


@cache
def formats() -> tuple[str, ...]:
    """The still-image formats that this Pillow reads, the common ones first."""
    Image.init()
    common = [name for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM") if name in Image.OPEN]
    return (*common, *sorted(set(Image.OPEN) - set(common) - _NOT_PICTURES))


@cache
def suffixes() -> frozenset[str]:
    """The lower-case file name endings of those formats, with their dot."""
    known = {*formats(), "MPO"}  # MPO, a JPEG with several pictures, is opened by the JPEG reader
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def decode(data: bytes) -> Decoded:
    """Decode an image file's bytes to RGB; the first frame of an animation.

    Transparency is composited on white; 16-bit grayscale is scaled to 8 bits by dropping the low byte, as Pillow
    does for 16-bit RGB; palette, CMYK and the like are converted by Pillow. Raises ``Unreadable`` with the reason.
    """
    if not data:
        raise Unreadable("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which does not touch the pixels; of bombs, which do.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=formats()) as image:
                return _to_rgb(image)
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image Pillow knows, or its header is damaged") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels, which looks like a decompression bomb") from None
    except _DAMAGE as problem:
        raise Unreadable(_in_words(problem)) from problem


def _in_words(problem: BaseException) -> str:
    if isinstance(problem, MemoryError):
        return "too large for this machine's memory"
    return str(problem).strip().rstrip(".") or f"damaged ({type(problem).__name__})"


def _to_rgb(image: Image.Image) -> Decoded:
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    image.load()
    turned = TURNED if "exif" in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1) else None
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Decoded(_sixteen_bit_to_rgb(image), SIXTEEN_BIT)
    if image.mode == "F":
        raise Unreadable("floating-point pixels, whose range no standard defines")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Decoded(Image.alpha_composite(white, rgba).convert("RGB"), COMPOSITED)
    return Decoded(image if image.mode == "RGB" else image.convert("RGB"), turned)


def _sixteen_bit_to_rgb(image: Image.Image) -> Image.Image:
    """The high byte of each 16-bit sample. (Pillow's own ``convert`` clips instead, which turns most of it white.)"""
    samples = np.asarray(image)
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise Unreadable("32-bit integer pixels outside 0 to 65,535")
    return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")
