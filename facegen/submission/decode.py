"""One submitted image: bytes in, pixels or a rejection out."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.file_kinds import HEAD, kind_of
from facegen.submission.rules import FORMATS, Code, Limits, Rejection, shown

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: PNG's IHDR: colour type 2 is RGB.
_RGB = 2
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}


def decode_image(data: bytes, path: str, limits: Limits) -> npt.NDArray[np.uint8]:
    """The pixels of one image, uint8 [size, size, 3].

    Format, size and mode are read from the header, before anything is decompressed. Rejections: ``wrong_format``
    (other formats, a suffix that promises another, animations), ``wrong_size``, ``wrong_mode``, ``bad_image``.
    """
    name, suffix = shown(path), PurePosixPath(path).suffix.lower()
    if suffix not in FORMATS:
        raise Rejection(Code.WRONG_FORMAT, f"{name} is a {suffix[1:].upper()} file, not PNG or JPEG.")
    kind = "PNG" if data.startswith(_PNG) else "JPEG" if data.startswith(_JPEG) else None
    if kind is None:
        holds = kind_of(data[:HEAD])
        if holds is None:
            raise Rejection(Code.BAD_IMAGE, f"{name} is not an image: its first bytes are those of no format.")
        if holds.family == "image":
            raise Rejection(Code.WRONG_FORMAT, f"{name} holds {holds.name}, not PNG or JPEG.")
        raise Rejection(Code.BAD_IMAGE, f"{name} is not an image but {holds.name}.")
    if kind != FORMATS[suffix]:
        raise Rejection(Code.WRONG_FORMAT, f"{name} holds a {kind} image under another format's suffix.")
    if kind == "PNG":
        _check_png(data, name, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                _check_size(*image.size, name, limits)
                if image.mode != "RGB" or "transparency" in image.info:
                    raise Rejection(Code.WRONG_MODE, f"{name} has mode {image.mode}, not plain RGB.")
                return np.asarray(image)
    except Rejection:
        raise
    # Bytes made to harm make a decoder raise anything at all; whatever it is, this image cannot be decoded.
    except Exception as problem:
        why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise Rejection(Code.BAD_IMAGE, f"{name} cannot be decoded: {why[:160]}.") from problem


def _check_png(data: bytes, name: str, limits: Limits) -> None:
    """What Pillow does not tell: the bit depth (it reads 16-bit RGB as RGB), animation, CRCs, and missing rows."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Rejection(Code.BAD_IMAGE, f"{name} is a PNG without its header.")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    _check_size(width, height, name, limits)
    if depth != 8 or colour != _RGB:
        what = _COLOUR_TYPES.get(colour, f"colour type {colour}")
        raise Rejection(Code.WRONG_MODE, f"{name} is {depth}-bit {what}, not 8-bit RGB.")
    start, kind, compressed = len(_PNG), b"", []
    while kind != b"IEND":
        if start + 12 > len(data):
            raise Rejection(Code.BAD_IMAGE, f"{name} is cut off.")
        (length,) = struct.unpack_from(">I", data, start)
        kind, body = data[start + 4 : start + 8], data[start + 4 : start + 8 + length]
        if kind == b"acTL":
            raise Rejection(Code.WRONG_FORMAT, f"{name} is an animation, not a still image.")
        if data[start + 8 + length : start + 12 + length] != zlib.crc32(body).to_bytes(4, "big"):
            raise Rejection(Code.BAD_IMAGE, f"{name} is cut off or corrupt (a PNG chunk's CRC is wrong).")
        if kind == b"IDAT":
            compressed.append(body[4:])
        start += 12 + length
    # Pillow fills missing rows with black. A row is a filter byte and its pixels; interlacing only has more rows.
    rows = height * (1 + 3 * width)
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(b"".join(compressed), 2 * rows))
    except zlib.error as problem:
        raise Rejection(Code.BAD_IMAGE, f"{name} has corrupt pixel data ({problem}).") from problem
    if found < rows or not stream.eof:
        raise Rejection(Code.BAD_IMAGE, f"{name} has pixel data for another size than its header's.")


def _check_size(width: int, height: int, name: str, limits: Limits) -> None:
    if (width, height) != (limits.size, limits.size):
        raise Rejection(Code.WRONG_SIZE, f"{name} is {width}x{height} pixels, not {limits.resolution}.", limits)
