"""Encoded image bytes to an 8-bit RGB picture.

How to get to RGB is the caller's choice of the two ways in :mod:`facegen.data.rgb`: preparing's, or pytorch-fid's.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from PIL import Image

from facegen.data.caps import FREE_IMAGE_PIXELS, MOST_SCANS, is_out_of_proportion
from facegen.data.jpeg2000 import MOST_PARTS, most_parts
from facegen.file_kinds import HEAD, kind_of

#: More pixels than this are taken for a decompression bomb (Pillow's own warning level: 89 million).
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3

#: The formats that photographs come in, the common ones first. Of those that Pillow reads besides, some take minutes
#: over a small file, some are handed to another program (EPS to Ghostscript), and some are told by no first bytes.
_PHOTOGRAPHS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")

#: Tags of a TIFF.
_TILE_WIDTH, _TILE_LENGTH = 322, 323

#: What Pillow's readers raise on damaged data; each of them was met by damaging files at random.
DAMAGE = (
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


class Unreadable(Exception):
    """An image that cannot be read; ``reason`` says why in a few words. Stages skip it or make it an InputError."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """An RGB picture at its native size, and notes of what getting there did to it, if anything is worth telling."""

    image: Image.Image
    notes: tuple[str, ...] = ()


@cache
def formats() -> tuple[str, ...]:
    """The formats of photographs that this Pillow reads."""
    Image.init()
    return tuple(name for name in _PHOTOGRAPHS if name in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """The lower-case file name endings of those formats, with their dot."""
    known = {*formats(), "MPO"}  # MPO, a JPEG with several pictures, is opened by the JPEG reader
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def decode(data: bytes, to_rgb: Callable[[Image.Image], Decoded]) -> Decoded:
    """Decode an image file's bytes to RGB; the first frame of an animation.

    Args:
        to_rgb: :class:`facegen.data.rgb.PreparedRgb` or :func:`facegen.data.rgb.pytorch_fid_rgb`.

    Raises:
        Unreadable: with the reason.
    """
    if not data:
        raise Unreadable("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which does not touch the pixels; of bombs, which do.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=formats()) as image:
                _check_proportion(image, data)
                return to_rgb(image)
    except Image.UnidentifiedImageError:
        raise Unreadable(_unidentified(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels, which looks like a decompression bomb") from None
    except DAMAGE as problem:
        raise Unreadable(_in_words(problem)) from problem


def _check_proportion(image: Image.Image, data: bytes) -> None:
    """Unreadable where few bytes keep the decoder busy for long."""
    pixels = max(image.width * image.height, _pixels_of_a_tile(image))
    if pixels > MAX_PIXELS:
        raise Image.DecompressionBombError
    if is_out_of_proportion(pixels, len(data), FREE_IMAGE_PIXELS):
        raise Unreadable(f"{pixels:,} pixels in {len(data):,} bytes, which looks like a decompression bomb")
    if image.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MOST_SCANS:
        raise Unreadable(f"a JPEG of {scans:,} scans, which looks like a decompression bomb")
    if image.format == "JPEG2000" and (parts := most_parts(data)) > MOST_PARTS:
        raise Unreadable(f"a JPEG 2000 divided into {parts:,} parts, which looks like a decompression bomb")


def _pixels_of_a_tile(image: Image.Image) -> int:
    """Pixels of a TIFF's tile, which is unpacked as a whole, and may be larger than the picture; else 0."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))


def _unidentified(data: bytes) -> str:
    kind = kind_of(data[:HEAD])
    if kind is None or kind.name in ("a PNG image", "a JPEG image"):
        return "not an image Pillow knows, or its header is damaged"
    if kind.family == "image":
        return f"{kind.name}, a format that is not read, or its header is damaged"
    return f"not an image but {kind.name}"


def _in_words(problem: BaseException) -> str:
    if isinstance(problem, MemoryError):
        return "too large for this machine's memory"
    return str(problem).strip().rstrip(".") or f"damaged ({type(problem).__name__})"
