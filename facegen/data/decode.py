"""Decode the bytes of an image file to an 8-bit RGB picture.

The caller chooses one of the two conversions to RGB in :mod:`facegen.data.rgb`: that of prepare, or pytorch-fid's.
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

#: Maximum number of pixels; more look like a decompression bomb. Pillow itself warns above 89 million.
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3

#: The image formats that are read, most common first. Pillow reads others too, but some of them take minutes for a
#: small file, some start another program (EPS starts Ghostscript), and some cannot be told by their first bytes.
_PHOTOGRAPHS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")

#: TIFF tags.
_TILE_WIDTH, _TILE_LENGTH = 322, 323

#: Exceptions that Pillow's readers raise for damaged data. Each was found by damaging files at random.
DAMAGE = (
    OSError,  # Includes UnidentifiedImageError and truncated data.
    SyntaxError,  # Broken PNG chunks, and broken headers of most formats.
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
    """An image that cannot be read. ``reason`` says why in a few words.

    A stage skips the image, or turns this error into an InputError.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """An RGB picture at its native size, with notes of what the conversion changed."""

    image: Image.Image
    notes: tuple[str, ...] = ()


@cache
def formats() -> tuple[str, ...]:
    """Return the image formats that facegen reads and this Pillow supports."""
    Image.init()
    return tuple(name for name in _PHOTOGRAPHS if name in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """Return the file name endings of those formats, in lower case, with their dot."""
    known = {*formats(), "MPO"}  # Pillow's JPEG reader opens MPO, a JPEG with several pictures.
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)


def decode(data: bytes, to_rgb: Callable[[Image.Image], Decoded]) -> Decoded:
    """Decode an image file's bytes to RGB. For an animation, decode the first frame.

    Args:
        data: The bytes of the file.
        to_rgb: The conversion: :class:`facegen.data.rgb.PreparedRgb` or :func:`facegen.data.rgb.pytorch_fid_rgb`.

    Raises:
        Unreadable: The image cannot be decoded, for the reason given.
    """
    if not data:
        raise Unreadable("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which does not affect the pixels, and of decompression bombs, which do.
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
    """Raise Unreadable if a few bytes would keep the decoder busy for long."""
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
    """Return the pixels of a TIFF's tile, or 0. A tile is unpacked as a whole and may be larger than the picture."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))


def _unidentified(data: bytes) -> str:
    kind = kind_of(data[:HEAD])
    if kind is None or kind.name in ("a PNG image", "a JPEG image"):
        return "not an image that Pillow knows, or its header is damaged"
    if kind.family == "image":
        return f"{kind.name}, a format that facegen does not read, or its header is damaged"
    return f"not an image but {kind.name}"


def _in_words(problem: BaseException) -> str:
    if isinstance(problem, MemoryError):
        return "too large for this machine's memory"
    return str(problem).strip().rstrip(".") or f"damaged ({type(problem).__name__})"
