"""Decodes one submitted image to pixels, or rejects it."""

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
from facegen.language import mark, translate
from facegen.submission.gzipped import require_memory
from facegen.submission.rules import FORMATS, Code, Limits, Rejection, shown

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
#: The readers are imported here. Pillow would import them at its first image, and a process that may open no more files
#: would then know no format.
_READERS = {"PNG": PngImagePlugin.PngImageFile, "JPEG": JpegImagePlugin.JpegImageFile}
#: PNG chunks that Pillow decompresses, or reads into a text that may be compressed.
_METADATA = frozenset({b"iCCP", b"zTXt", b"iTXt"})
#: A JPEG marker. Bytes before it that belong to no segment are skipped.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
#: JPEG markers that no segment follows (TEM, RST0 to RST7, SOI and EOI), and the marker of a scan, which pixels follow.
_ALONE, _SCAN = frozenset((0x01, *range(0xD0, 0xDA))), 0xDA
#: Markers of segments that any program may use; those among them that say how pixels are coded (JFIF's and Adobe's);
#: and the marker of a comment.
_APPLICATION, _OF_PIXELS, _COMMENT = range(0xE0, 0xF0), (0xE0, 0xEE), 0xFE
#: Bytes of pixel data that an encoder may write in addition to twice the pixels. Compression never makes data that much
#: larger.
_SPARE = 4096
#: The colour type of RGB in a PNG's IHDR chunk.
_RGB = 2
#: The colour types of a PNG's IHDR chunk, as messages name them.
_COLOUR_TYPES = {
    0: mark("grey"),
    2: "RGB",
    3: mark("palette"),
    4: mark("grey with transparency"),
    6: mark("RGB with transparency"),
}


def decode_image(data: bytes, path: str, limits: Limits) -> npt.NDArray[np.uint8]:
    """Return the pixels of one image, uint8 [size, size, 3].

    Format, size and mode are read from the header, before anything is decompressed.

    Args:
        data: The bytes of the image's file.
        path: Its path in the archive, which messages name. Its suffix says which format is expected.
        limits: The size that the image must have, and the caps.

    Raises:
        Rejection: ``wrong_format`` for another format, an animation, or a suffix that stands for another format;
            ``wrong_size``, ``wrong_mode`` or ``bad_image``.
        MemoryError, OSError: The machine lacks something. The image is not at fault.
    """
    name, suffix = shown(path), PurePosixPath(path).suffix.lower()
    if suffix not in FORMATS:
        message = translate("{name} is a {format} file, not PNG or JPEG.", name=name, format=suffix[1:].upper())
        raise Rejection(Code.WRONG_FORMAT, message)
    kind = "PNG" if data.startswith(_PNG) else "JPEG" if data.startswith(_JPEG) else None
    if kind is None:
        holds = kind_of(data[:HEAD])
        if holds is None:
            message = translate("{name} is not an image: its first bytes belong to no known format.", name=name)
            raise Rejection(Code.BAD_IMAGE, message)
        what = translate(holds.name)
        if holds.family == "image":
            message = translate("{name} holds {kind}, not PNG or JPEG.", name=name, kind=what)
            raise Rejection(Code.WRONG_FORMAT, message)
        raise Rejection(Code.BAD_IMAGE, translate("{name} is not an image but {kind}.", name=name, kind=what))
    if kind != FORMATS[suffix]:
        message = translate("{name} holds a {format} image under the suffix of another format.", name=name, format=kind)
        raise Rejection(Code.WRONG_FORMAT, message)
    if kind == "PNG":
        _check_png(data, name, limits)
    else:
        data = _coded_pixels(data, name, limits)
    try:
        return _pixels(data, kind, name, limits)
    except (Rejection, MemoryError, ImportError):
        raise
    # Malicious bytes can make a decoder raise any exception. Whichever it is, this image cannot be decoded.
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise  # an error of the system: a decoder's own errors have no number
        _require_sound_decoder(kind, limits, problem)
        why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        message = translate("{name} cannot be decoded: {problem}.", name=name, problem=why[:160].rstrip("."))
        raise Rejection(Code.BAD_IMAGE, message) from problem


def _pixels(data: bytes, kind: str, name: str, limits: Limits) -> npt.NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _READERS[kind](io.BytesIO(data)) as image:
            _check_size(*image.size, name, limits)
            if image.mode != "RGB" or "transparency" in image.info:
                message = translate("{name} has mode {mode}, not plain RGB.", name=name, mode=image.mode)
                raise Rejection(Code.WRONG_MODE, message)
            return np.asarray(image)


def _require_sound_decoder(kind: str, limits: Limits, problem: Exception) -> None:
    """Raise MemoryError if a sound image of the same format cannot be decoded either.

    When libjpeg gets no memory, it calls the data corrupt, and Pillow raises the same error as for corrupt data.
    """
    buffer = io.BytesIO()
    try:
        Image.new("RGB", (limits.size, limits.size)).save(buffer, kind)
        _pixels(buffer.getvalue(), kind, "", limits)
    except Exception:  # noqa: BLE001 - the bytes are sound, so any error is the machine's
        raise MemoryError(str(problem)) from problem


def _coded_pixels(data: bytes, name: str, limits: Limits) -> bytes:
    """Return a JPEG without its metadata and without bytes between its segments.

    Pillow parses Exif and similar metadata in Python. An image of 64×64 pixels can be made to take minutes that way.
    """
    kept, start = [_JPEG[:2]], 2
    for _ in range(limits.pieces):
        found = _MARKER.search(data, start)
        if found is None:
            raise Rejection(Code.BAD_IMAGE, translate("{name} is cut off: no pixels follow its header.", name=name))
        marker, start = found[1][0], found.end()
        if marker == _SCAN:
            if data.count(b"\xff\xda", start) >= limits.pieces:
                message = translate("{name} has more than {most:,} scans.", name=name, most=limits.pieces)
                raise Rejection(Code.BAD_IMAGE, message)
            return b"".join([*kept, data[start - 2 :]])
        if marker in _ALONE:
            kept.append(data[start - 2 : start])
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        if length < 2 or start + length > len(data):
            message = translate("{name} is cut off or corrupt (the length of a JPEG segment is wrong).", name=name)
            raise Rejection(Code.BAD_IMAGE, message)
        if marker in _OF_PIXELS or not (marker in _APPLICATION or marker == _COMMENT):
            kept.append(data[start - 2 : start + length])
        start += length
    message = translate("{name} has more than {most:,} JPEG segments.", name=name, most=limits.pieces)
    raise Rejection(Code.BAD_IMAGE, message)


def _check_png(data: bytes, name: str, limits: Limits) -> None:
    """Check what Pillow does not: bit depth, animation, checksums and missing rows.

    Pillow reads 16-bit RGB as RGB, and fills missing rows with black.
    """
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Rejection(Code.BAD_IMAGE, translate("{name} is a PNG without its header.", name=name))
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    _check_size(width, height, name, limits)
    if depth != 8 or colour != _RGB:
        known = _COLOUR_TYPES.get(colour)
        what = translate("colour type {number}", number=colour) if known is None else translate(known)
        message = translate("{name} is {depth}-bit {colours}, not 8-bit RGB.", name=name, depth=depth, colours=what)
        raise Rejection(Code.WRONG_MODE, message)
    start, kind, compressed, metadata, pieces = len(_PNG), b"", [], 0, 0
    # A row is a filter byte and its pixels. An interlaced image only has more rows.
    rows = height * (1 + 3 * width)
    while kind != b"IEND":
        if start + 12 > len(data):
            raise Rejection(Code.BAD_IMAGE, translate("{name} is cut off.", name=name))
        (length,) = struct.unpack_from(">I", data, start)
        kind, body = data[start + 4 : start + 8], data[start + 4 : start + 8 + length]
        if kind == b"acTL":
            raise Rejection(Code.WRONG_FORMAT, translate("{name} is an animation, not a still image.", name=name))
        if data[start + 8 + length : start + 12 + length] != zlib.crc32(body).to_bytes(4, "big"):
            message = translate("{name} is cut off or corrupt (the CRC of a PNG chunk is wrong).", name=name)
            raise Rejection(Code.BAD_IMAGE, message)
        if kind == b"IDAT":
            compressed.append(body[4:])
        metadata, pieces = metadata + (kind in _METADATA), pieces + 1
        if pieces > limits.pieces:
            message = translate("{name} has more than {most:,} PNG chunks.", name=name, most=limits.pieces)
            raise Rejection(Code.BAD_IMAGE, message)
        if metadata > limits.metadata:
            message = translate(
                "{name} has more than {most} texts and colour profiles.", name=name, most=limits.metadata
            )
            raise Rejection(Code.BAD_IMAGE, message)
        start += 12 + length
    if sum(map(len, compressed)) > 2 * rows + _SPARE:
        raise _other_size(name)
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(b"".join(compressed), 2 * rows))
    except zlib.error as problem:
        require_memory(problem)
        message = translate("{name} has corrupt pixel data ({problem}).", name=name, problem=str(problem))
        raise Rejection(Code.BAD_IMAGE, message) from problem
    if found < rows or not stream.eof:
        raise _other_size(name)


def _other_size(name: str) -> Rejection:
    message = translate("{name} has pixel data for another size than its header says.", name=name)
    return Rejection(Code.BAD_IMAGE, message)


def _check_size(width: int, height: int, name: str, limits: Limits) -> None:
    if (width, height) != (limits.size, limits.size):
        message = translate(
            "{name} is {width}x{height} pixels, not {resolution}.",
            name=name,
            width=width,
            height=height,
            resolution=limits.resolution,
        )
        raise Rejection(Code.WRONG_SIZE, message, limits)
