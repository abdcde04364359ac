"""Recognises the kind of a file by its first bytes, whatever its name."""

from __future__ import annotations

import os
import re
import shlex
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from facegen.files import open_regular
from facegen.plain_zip import PlainZip


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: The name with its article, to stand in a sentence: ``"a 7-Zip archive"``.
        family: ``"image"``, ``"archive"``, ``"arrays"``, ``"weights"`` or ``"other"``.
        remedy: A sentence that says what to do if facegen needs another kind. None if there is no general advice.
    """

    name: str
    family: str
    remedy: str | None = None


_UNPACK = "Unpack it and name the folder, or pack it as .zip or .tar.gz."
#: The remedy for a damaged file.
DOWNLOAD_AGAIN = "Download or copy it again, whole."
_AS_FILES = "Write its images as files and name their folder."
_NEVER_OPENED = "It is never opened: to load a pickle is to run whatever code is in it."
_NOT_THE_FILE = "It leads to the file and is not the file: open it and download what it names."


def _archive(name: str, how: str = _UNPACK) -> FileKind:
    return FileKind(name, "archive", how)


# Kinds that other modules refer to by name.
ZIP, GZIP, BZIP2 = (FileKind(name, "archive") for name in ("a zip archive", "a gzip file", "a bzip2 file"))
XZ, TAR = FileKind("an xz file", "archive"), FileKind("a plain tar archive", "archive")
HDF5, PARQUET = FileKind("an HDF5 file", "arrays", _AS_FILES), FileKind("a Parquet file", "arrays", _AS_FILES)
NPY, NPZ = FileKind("a NumPy array (.npy)", "arrays", _AS_FILES), FileKind("a NumPy .npz file", "arrays", _AS_FILES)
LMDB = FileKind("an LMDB database", "arrays", f"{_AS_FILES} LSUN's data.py does it: python data.py export")
TFRECORD = FileKind("a TFRecord file", "arrays", f"{_AS_FILES} TensorFlow's TFRecordDataset reads it.")
SAFETENSORS = FileKind("a safetensors file", "weights")
PYTORCH = FileKind("a PyTorch file (torch.save)", "weights")
LEGACY_PYTORCH = FileKind("a PyTorch file of the format before 1.6", "weights")
TORCHSCRIPT = FileKind(
    "a TorchScript module",
    "weights",
    "Save its state dict: torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), 'weights.pth')",
)
PICKLE = FileKind("a Python pickle", "weights", _NEVER_OPENED)
ONNX = FileKind("an ONNX model", "weights")
EMPTY = FileKind("an empty file", "other", "Download or copy it again.")
ZEROS = FileKind(
    "a file of zeros", "other", "A download set the space aside and never filled it: download or copy it again, whole."
)
HTML = FileKind(
    "an HTML page",
    "other",
    "Google Drive serves one instead of the file when its download quota is used up or a confirmation is asked, and "
    "other sites when a login is: open the link in a browser and download again, or try tomorrow.",
)
_REPLY = "The server refused the download and sent this instead: read it, and download the file again."
JSON_ERROR, XML_ERROR = (FileKind(f"an error message in {format}", "other", _REPLY) for format in ("JSON", "XML"))
LFS_POINTER = FileKind("a Git LFS pointer", "other", "Fetch the file it stands for: git lfs pull")
TEXT = FileKind("a text file", "other")
UNFINISHED = FileKind("an unfinished download", "other", "Let it finish, or download the file again.")
_SHORTCUT = FileKind("an internet shortcut", "other", _NOT_THE_FILE)
_SPLIT_ZIP = FileKind(
    "a volume of a split zip", "archive", "Join the volumes and name the whole: zip -s 0 NAME.zip --out whole.zip"
)

#: Kinds by the bytes at an offset.
_MAGIC: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", _archive("a 7-Zip archive")),
    (0, b"Rar!\x1a\x07", _archive("a RAR archive")),
    (0, b"PK\5\6", ZIP),  # an empty one
    (0, b"PK00PK\3\4", ZIP),  # made to be split, and not
    (0, b"PK\7\x08", _SPLIT_ZIP),
    (0, b"\x1f\x8b", GZIP),
    (0, b"BZh", BZIP2),
    (0, b"\xfd7zXZ\0", XZ),
    (0, b"\x28\xb5\x2f\xfd", _archive("a zstd file", "Unpack it (zstd -d FILE) and name what comes out.")),
    (0, b"\x04\x22\x4d\x18", _archive("an lz4 file", "Unpack it (lz4 -d FILE) and name what comes out.")),
    (0, b"LZIP", _archive("an lzip file", "Unpack it (lzip -d FILE) and name what comes out.")),
    (0, b"\x5d\0\0\x80\0", _archive("an lzma file", "Unpack it (xz -d FILE) and name what comes out.")),
    (0, b"\x1f\x9d", _archive("a compress (.Z) file", "Unpack it (gunzip FILE) and name what comes out.")),
    (257, b"ustar", TAR),
    (0, b"070701", _archive("a cpio archive")),
    (0, b"070702", _archive("a cpio archive")),
    (0, b"070707", _archive("a cpio archive")),
    (0, b"\xc7\x71", _archive("a cpio archive")),
    (0, b"!<arch>\ndebian-binary", _archive("a Debian package")),
    (0, b"!<arch>\n", _archive("an ar archive")),
    (0, b"\xed\xab\xee\xdb", _archive("an RPM package")),
    (0, b"MSCF\0\0\0\0", _archive("a Windows cabinet")),
    (0, b"xar!", _archive("a macOS package")),
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (512, b"\x89HDF\r\n\x1a\n", HDF5),  # behind a block of the user's
    (0, b"PAR1", PARQUET),
    (0, b"\x93NUMPY", NPY),
    (0, b"ARROW1\0\0", FileKind("an Arrow file", "arrays", _AS_FILES)),
    (0, b"FEA1", FileKind("a Feather file", "arrays", _AS_FILES)),
    (0, b"MATLAB 5.0 MAT-file", FileKind("a MATLAB file", "arrays", _AS_FILES)),
    (0, b"CDF\1", FileKind("a NetCDF file", "arrays", _AS_FILES)),
    (16, b"\xde\xc0\xef\xbe", LMDB),  # MDB_MAGIC in its first page, behind the page's header
    (16, b"\xbe\xef\xc0\xde", LMDB),
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", LEGACY_PYTORCH),  # torch.serialization's number
    (0, b"GGUF", FileKind("a GGUF model", "weights")),
    (0, b"\x89PNG\r\n\x1a\n", FileKind("a PNG image", "image")),
    (0, b"\xff\xd8\xff", FileKind("a JPEG image", "image")),
    (0, b"GIF87a", FileKind("a GIF image", "image")),
    (0, b"GIF89a", FileKind("a GIF image", "image")),
    (0, b"II*\0", FileKind("a TIFF image", "image")),
    (0, b"MM\0*", FileKind("a TIFF image", "image")),
    (0, b"II+\0", FileKind("a BigTIFF image", "image")),
    (0, b"MM\0+", FileKind("a BigTIFF image", "image")),
    (8, b"WEBP", FileKind("a WebP image", "image")),
    (0, b"\0\0\1\0", FileKind("an ICO image", "image")),
    (0, b"8BPS\0\1", FileKind("a Photoshop image", "image")),
    (0, b"qoif", FileKind("a QOI image", "image")),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", FileKind("a JPEG 2000 image", "image")),
    (0, b"\xff\x4f\xff\x51", FileKind("a JPEG 2000 image", "image")),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", FileKind("a JPEG XL image", "image", "Convert it to PNG or JPEG.")),
    (0, b"\xff\x0a", FileKind("a JPEG XL image", "image", "Convert it to PNG or JPEG.")),
    (0, b"%PDF", FileKind("a PDF", "other", "Save its pictures as images.")),
    (0, b"SQLite format 3\0", FileKind("an SQLite database", "other")),
    (0, b"L\0\0\0\1\x14\2\0", FileKind("a Windows shortcut", "other", "Name what it leads to.")),
    (0, b"bplist00", _SHORTCUT),
    (0, b"\x7fELF", FileKind("a program", "other")),
    (0, b"MZ", FileKind("a Windows program", "other", "Where it unpacks itself, run it and name the folder.")),
    (0, b"\x1a\x45\xdf\xa3", FileKind("a Matroska video", "other", "Save its frames as images.")),
)
_VIDEO = "Save its frames as images."
#: Kinds of RIFF files by their form.
_RIFF = {
    b"AVI ": FileKind("an AVI video", "other", _VIDEO),
    b"WAVE": FileKind("a WAV sound", "other"),
    b"ACON": FileKind("an animated cursor", "other"),
}
#: Kinds of ISO base media files by their brand.
_BRANDS = {
    **dict.fromkeys(
        (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"),
        FileKind("a HEIC image", "image", "Convert it to PNG or JPEG."),
    ),
    **dict.fromkeys((b"avif", b"avis"), FileKind("an AVIF image", "image", "Convert it to PNG or JPEG.")),
}
#: Number of bytes from the start of a file that are enough to recognise it.
HEAD = 1024
_PARTIAL_NAME = re.compile(r"\.(crdownload|part|partial|opdownload|!ut|aria2)$", re.IGNORECASE)
#: Names of the volumes of split archives, and how to join each kind.
_VOLUMES = (
    (r"\.7z\.\d{3,}$", "7-Zip archive", "Unpack it with 7-Zip (7z x on the first volume) and name the folder."),
    (r"\.(part\d+\.rar|r\d\d)$", "RAR archive", "Unpack it with unrar (unrar x on the first volume); name the folder."),
    (r"\.z\d\d$", "zip", "Join the volumes and name the whole: zip -s 0 NAME.zip --out whole.zip"),
    (
        r"\.(zip|tar|tgz|tar\.\w{2,4}|t?gz|bz2|xz)[.-]?(part)?[._-]?(\d{2,}|a[a-z]|b[a-y]|c[a-z])$",
        "archive",
        "Join the volumes in their order and name the whole: cat VOLUME VOLUME … > whole",
    ),
)

#: Endings of the names of the first two pieces that ``split`` and similar programs write.
_FIRST_PIECES = (("000", "001"), ("001", "002"), ("aa", "ab"), ("00", "01"), ("01", "02"))


def kind_of(head: bytes) -> FileKind | None:
    """Recognise a file by ``head``, its first :data:`HEAD` bytes. None if it is of no known kind."""
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return ZEROS
    if head.startswith(b"PK\3\4"):
        return _zip_by_first_member(head)
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], FileKind("an MP4 video", "other", _VIDEO))
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset) and (magic != b"WEBP" or head.startswith(b"RIFF")):
            return kind
    return next((kind for test, kind in _TESTS if test(head)), None) or _text_kind(head)


def kind_of_file(path: Path) -> FileKind | None:
    """Recognise a file by its whole content if its head is not enough, or by its name.

    A folder is recognised as an LMDB database if it holds one.

    Returns:
        None if the file is of no known kind.

    Raises:
        OSError: The file cannot be read.
    """
    if path.is_dir():
        inside = path / "data.mdb"
        return LMDB if inside.is_file() and kind_of_file(inside) is LMDB else None
    with open_regular(path) as file:
        head = file.read(HEAD)
        kind = kind_of(head)
        if kind in (None, ZEROS, BZIP2):
            file.seek(32769)
            if file.read(5) == b"CD001":
                return _archive("an ISO disk image")
            size = file.seek(0, 2)
            file.seek(max(0, size - 512))
            if file.read(4) == b"koly":
                return _archive("a macOS disk image")
            if kind is ZEROS:
                places = (0, size // 2, max(0, size - (1 << 16)))
                kind = None if any(_sample(file, place).strip(b"\0") for place in places) else ZEROS
    if kind is PYTORCH and _is_torchscript(path):
        return TORCHSCRIPT
    return kind or kind_by_place(path)


def kind_by_place(path: Path) -> FileKind | None:
    """Recognise a file that is not complete in itself by its name and by its neighbours.

    ``split`` names its pieces xaa, xab, …, or appends these letters to a name of the user's choice. Two letters alone
    say nothing, so the first two pieces must both exist.
    """
    by_name = kind_by_name(path.name)
    for first, second in _FIRST_PIECES if by_name is None else ():
        stem, end = path.name[: -len(first)], path.name[-len(first) :]
        alike = end.isdecimal() if first.isdecimal() else end.isascii() and end.isalpha()
        if stem and alike and all(path.with_name(stem + at).is_file() for at in (first, second)):
            pieces = f"{stem}{'?' * len(first)}"
            join = (
                f'copy /b "{pieces}" whole' if os.name == "nt" else f"cat {shlex.quote(stem)}{'?' * len(first)} > whole"
            )
            remedy = f"Join the volumes in their order and name the whole: {join}"
            return FileKind("a volume of a split archive", "archive", remedy)
    return by_name


def kind_by_name(name: str) -> FileKind | None:
    """Recognise an incomplete file by its name: a volume of a split file, or an unfinished download."""
    for pattern, what, remedy in _VOLUMES:
        if re.search(pattern, name, re.IGNORECASE):
            return FileKind(f"a volume of a split {what}", "archive", remedy)
    return UNFINISHED if _PARTIAL_NAME.search(name) else None


def _sample(file: IO[bytes], place: int) -> bytes:
    file.seek(place)
    return file.read(1 << 16)


def _zip_by_first_member(head: bytes) -> FileKind:
    """Recognise what a zip is for by its first member."""
    (length,) = struct.unpack("<H", head[26:28].ljust(2, b"\0"))
    name = head[30 : 30 + length].decode("utf-8", "replace")
    if re.fullmatch(r"[^/]+\.npy", name):
        return NPZ
    if re.fullmatch(
        r"[^/]+/(data\.pkl|data/\d+|version|byteorder|constants\.pkl|\.format_version|\.storage_alignment)", name
    ):
        return PYTORCH
    if name in ("[Content_Types].xml", "_rels/.rels") or (name == "mimetype" and b"opendocument" in head):
        return FileKind("an office document", "other", "Save its pictures as images.")
    return ZIP


def _is_torchscript(path: Path) -> bool:
    """Return whether a zip that PyTorch wrote contains code."""
    try:
        with open_regular(path) as file, PlainZip(file) as archive:
            return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):  # NotImplementedError: a future version
        return False


def _is_tfrecord(head: bytes) -> bool:
    """Return whether a file begins with a record: its length as uint64, then that length's masked CRC-32C.

    The format is that of TensorFlow's ``record_writer``.
    """
    if len(head) < 12:
        return False
    crc = 0xFFFFFFFF
    for byte in head[:8]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return head[8:12] == masked.to_bytes(4, "little")


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000


def _is_pickle(head: bytes) -> bool:
    """Return whether a file is a pickle: protocols 2 to 5 say so in their first opcode; 4 and 5 add a frame."""
    return head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and (head[1:2] in b"\2\3" or head[2:3] == b"\x95")


def _is_onnx(head: bytes) -> bool:
    """Return whether a protobuf begins with an ir_version and a producer's name, the first fields of onnx.proto."""
    if len(head) < 5 or head[0] != 0x08 or not 1 <= head[1] <= 20 or head[2] != 0x12:
        return False
    return re.fullmatch(rb"[\w .\-]+", head[4 : 4 + head[3]]) is not None


def _is_bmp(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124)


def _is_netpbm(head: bytes) -> bool:
    return re.match(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s", head) is not None


_TESTS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (_is_bmp, FileKind("a BMP image", "image")),
    (_is_netpbm, FileKind("a PPM image", "image")),
    (_is_safetensors, SAFETENSORS),
    (_is_pickle, PICKLE),
    (_is_onnx, ONNX),
    (_is_tfrecord, TFRECORD),
)
_MARKUP = re.compile(r"<!doctype html|<(html|head|body|title|script|meta|style|div|p|h1|center)\b")


def _text_kind(head: bytes) -> FileKind | None:
    """Recognise a text in UTF-8 or UTF-16. None if it is not text."""
    text = _as_text(head)
    if text is None:
        return None
    start = text.lstrip()
    # An XML prolog, comments and processing instructions may precede the root element.
    while (comment := re.match(r"<!--.*?(-->|$)|<\?.*?(\?>|$)", start, re.DOTALL)) and start:
        start = start[comment.end() :].lstrip()
    lower = start.lower()
    if _MARKUP.match(lower) or (not start and "<!--" in text):
        return HTML
    if re.match(r"(<!doctype svg[^>]*>\s*)?<svg\b", lower):
        return FileKind("an SVG image", "image", "Convert it to PNG.")
    if "<plist" in lower and "<key>url</key>" in lower:
        return _SHORTCUT
    if text.lstrip().startswith("<?xml") or re.match(r"<\w+", start):
        return (
            XML_ERROR if re.match(r"<(\w+:)?(error|errors|fault|quota)\b", lower) else FileKind("an XML file", "other")
        )
    if re.match(r"[{\[]\s*([\"{\[\]}\d-]|$)", start):
        if re.search(r'"(error|errors|error_description|message|detail)"\s*:', lower):
            return JSON_ERROR
        return FileKind("a JSON file", "other")
    if start.startswith("version https://git-lfs"):
        return LFS_POINTER
    if lower.startswith(("[internetshortcut]", "[desktop entry]", "[{000214a0")):
        return _SHORTCUT
    if re.match(r"d\d+:(announce|comment|created by|creation date|info)", start):
        return FileKind("a torrent", "other", "Download what it names with a BitTorrent program.")
    return TEXT


def _as_text(head: bytes) -> str | None:
    """Decode ``head``, whose last character may be cut off. None if it is not text."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        return text if not re.search(r"[\0-\x08\x0b\x0e-\x1f\x7f]", text) else None
    return None
