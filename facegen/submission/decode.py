"""One submitted image: bytes in, pixels or a rejection out."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin

from facegen.file_kinds import HEAD, kind_of
from facegen.submission.gzipped import require_memory
from facegen.submission.rules import FORMATS, Code, Limits, Rejection, shown

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: Imported here, and not by Pillow at its first image: a process that may open no more files would know no format then.
_READERS = {"PNG": PngImagePlugin.PngImageFile, "JPEG": JpegImagePlugin.JpegImageFile}
#: PNG chunks that Pillow decompresses, or reads into a text that may be compressed.
_METADATA = frozenset({b"iCCP", b"zTXt", b"iTXt"})
#: A JPEG marker. What stands before it, and in no segment, is skipped.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
#: JPEG markers that nothing follows: TEM, RST0 to RST7, SOI and EOI. The start of a scan, whose pixels follow it.
_ALONE, _SCAN = frozenset((0x01, *range(0xD0, 0xDA))), 0xDA
#: Segments for any program's use, of which JFIF's and Adobe's say how pixels are coded; and that for comments.
_APPLICATION, _OF_PIXELS, _COMMENT = range(0xE0, 0xF0), (0xE0, 0xEE), 0xFE
#: Bytes of pixel data that an encoder may write beside twice the pixels: no data is made larger by being compressed.
_SPARE = 4096
#: PNG's IHDR: colour type 2 is RGB.
_RGB = 2
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}


def decode_image(data: bytes, path: str, limits: Limits) -> npt.NDArray[np.uint8]:
    """The pixels of one image, uint8 [size, size, 3].

    Format, size and mode are read from the header, before anything is decompressed. Rejections: ``wrong_format``
    (other formats, a suffix that promises another, animations), ``wrong_size``, ``wrong_mode``, ``bad_image``.

    Raises:
        MemoryError, OSError: the machine lacks something, whatever the image is.
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
    else:
        data = _coded_pixels(data, name, limits)
    try:
        return _pixels(data, kind, name, limits)
    except (Rejection, MemoryError, ImportError):
        raise
    # Bytes made to harm make a decoder raise anything at all; whatever it is, this image cannot be decoded.
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise  # the system's: a decoder's own have no number
        _require_sound_decoder(kind, limits, problem)
        why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise Rejection(Code.BAD_IMAGE, f"{name} cannot be decoded: {why[:160]}.") from problem


def _pixels(data: bytes, kind: str, name: str, limits: Limits) -> npt.NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _READERS[kind](io.BytesIO(data)) as image:
            _check_size(*image.size, name, limits)
            if image.mode != "RGB" or "transparency" in image.info:
                raise Rejection(Code.WRONG_MODE, f"{name} has mode {image.mode}, not plain RGB.")
            return np.asarray(image)


def _require_sound_decoder(kind: str, limits: Limits, problem: Exception) -> None:
    """MemoryError where a sound image of that kind cannot be decoded either.

    libjpeg calls data corrupt where it gets no memory, and Pillow says so by an error like any other.
    """
    buffer = io.BytesIO()
    try:
        Image.new("RGB", (limits.size, limits.size)).save(buffer, kind)
        _pixels(buffer.getvalue(), kind, "", limits)
    except Exception:  # noqa: BLE001 - whatever it is, the bytes are sound
        raise MemoryError(str(problem)) from problem


def _coded_pixels(data: bytes, name: str, limits: Limits) -> bytes:
    """A JPEG without what programs write into it beside its pixels, and without bytes between its segments.

    Pillow parses Exif and the like in Python, for which 64×64 pixels can be made to take minutes.
    """
    kept, start = [_JPEG[:2]], 2
    for _ in range(limits.pieces):
        found = _MARKER.search(data, start)
        if found is None:
            raise Rejection(Code.BAD_IMAGE, f"{name} is cut off: no pixels follow its header.")
        marker, start = found[1][0], found.end()
        if marker == _SCAN:
            if data.count(b"\xff\xda", start) >= limits.pieces:
                raise Rejection(Code.BAD_IMAGE, f"{name} has more than {limits.pieces:,} scans.")
            return b"".join([*kept, data[start - 2 :]])
        if marker in _ALONE:
            kept.append(data[start - 2 : start])
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        if length < 2 or start + length > len(data):
            raise Rejection(Code.BAD_IMAGE, f"{name} is cut off or corrupt (a JPEG segment's length is wrong).")
        if marker in _OF_PIXELS or not (marker in _APPLICATION or marker == _COMMENT):
            kept.append(data[start - 2 : start + length])
        start += length
    raise Rejection(Code.BAD_IMAGE, f"{name} has more than {limits.pieces:,} JPEG segments.")


def _check_png(data: bytes, name: str, limits: Limits) -> None:
    """What Pillow does not tell: the bit depth (it reads 16-bit RGB as RGB), animation, CRCs, and missing rows."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Rejection(Code.BAD_IMAGE, f"{name} is a PNG without its header.")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    _check_size(width, height, name, limits)
    if depth != 8 or colour != _RGB:
        what = _COLOUR_TYPES.get(colour, f"colour type {colour}")
        raise Rejection(Code.WRONG_MODE, f"{name} is {depth}-bit {what}, not 8-bit RGB.")
    start, kind, compressed, metadata, pieces = len(_PNG), b"", [], 0, 0
    # A row is a filter byte and its pixels; interlacing only has more rows.
    rows = height * (1 + 3 * width)
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
        metadata, pieces = metadata + (kind in _METADATA), pieces + 1
        if pieces > limits.pieces:
            raise Rejection(Code.BAD_IMAGE, f"{name} has more than {limits.pieces:,} PNG chunks.")
        if metadata > limits.metadata:
            raise Rejection(Code.BAD_IMAGE, f"{name} has more than {limits.metadata} texts and colour profiles.")
        start += 12 + length
    if sum(map(len, compressed)) > 2 * rows + _SPARE:
        raise Rejection(Code.BAD_IMAGE, f"{name} has pixel data for another size than its header's.")
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(b"".join(compressed), 2 * rows))
    except zlib.error as problem:
        require_memory(problem)
        raise Rejection(Code.BAD_IMAGE, f"{name} has corrupt pixel data ({problem}).") from problem
    # Pillow fills missing rows with black.
    if found < rows or not stream.eof:
        raise Rejection(Code.BAD_IMAGE, f"{name} has pixel data for another size than its header's.")


def _check_size(width: int, height: int, name: str, limits: Limits) -> None:
    if (width, height) != (limits.size, limits.size):
        raise Rejection(Code.WRONG_SIZE, f"{name} is {width}x{height} pixels, not {limits.resolution}.", limits)
