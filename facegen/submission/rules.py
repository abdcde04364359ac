"""What a submission is, in one place: names, counts, formats, caps, and every reason for which one is rejected.

A submission is ``<student_number>.tar.gz``: 1,000 still images, 64x64 unless the course asks for another size
(:func:`limits_for`), 8-bit RGB, PNG or JPEG, at the top of the archive or in one folder. PNG is what ``facegen sample``
writes; JPEG is taken too, for the assignment asks for images and names no format (its artefacts cost the student score,
not the submission). Palette, grey or transparent images, animations and other formats are not: to convert them would be
to guess what the student meant.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath

from facegen.data.litter import is_litter
from facegen.errors import InputError, Refused
from facegen.printable import printable, shortened

SUFFIX = ".tar.gz"
#: Of a submission that is a generator, where a course asks for one in place of images.
GENERATOR_SUFFIX = ".safetensors"
#: A submission's images have a side of so many pixels, or of a multiple.
SIZE_STEP = 32
#: And at most so many: the caps on bytes grow with them.
LARGEST_SIZE = 4096
#: The suffixes that a submission's image may have, and the format that each promises.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
#: Still or moving pictures, but not the ones asked for: they earn ``wrong_format`` rather than ``foreign_member``.
OTHER_PICTURES = frozenset(
    {
        ".apng",
        ".avif",
        ".bmp",
        ".eps",
        ".gif",
        ".heic",
        ".heif",
        ".ico",
        ".jfif",
        ".jp2",
        ".jxl",
        ".mp4",
        ".pbm",
        ".pgm",
        ".ppm",
        ".svg",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    }
)

_STUDENT_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: Windows opens a device, whatever the suffix, under these names.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
#: Control, invisible and line-breaking characters: a name with one reads as another name.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: A path on a Windows drive.
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Limits:
    """What a submission must have, and the caps within which one is read.

    The caps are far above what 1,000 images of 64x64 need (about 9 MB), so that a careless submission is told what
    is wrong with it (128x128 images: ``wrong_size``), and far below what hurts the machine that reads it.
    :func:`limits_for` gives those of another size. None is a time: a verdict is of the bytes alone, however busy the
    machine is. What takes the longest to read within them, made for the purpose, takes under a minute.

    Attributes:
        count: images in a submission.
        size: their width and height in pixels.
        compressed_bytes: of the file.
        bytes: of the decompressed stream, headers and padding too.
        gzip_members: the parts, one after another, that a gzip file may be compressed in (bgzip makes one of 64 KiB).
        members: files, folders and headers in the archive: enough for an ``._`` twin of each image.
        member_bytes: of one member.
        header_bytes: of one extended header (macOS puts attributes there).
        header_records: in one extended header.
        name_bytes: of a member's path.
        pieces: chunks of a PNG; segments, and scans, of a JPEG.
        metadata: colour profiles, compressed and international texts of a PNG.
        suffix: what the file's name ends with: :data:`SUFFIX`, or :data:`GENERATOR_SUFFIX` where generators are asked
            for, of which the caps below are.
        generator_header_bytes: names, shapes and metadata before the weights.
        macs: multiply-adds that a generator takes for an image.
    """

    count: int = 1000
    size: int = 64
    compressed_bytes: int = 256 << 20
    bytes: int = 256 << 20
    gzip_members: int = 20_000
    members: int = 2500
    member_bytes: int = 8 << 20
    header_bytes: int = 64 << 10
    header_records: int = 256
    name_bytes: int = 255
    pieces: int = 1000
    metadata: int = 16
    suffix: str = SUFFIX
    generator_header_bytes: int = 256 << 10
    macs: int = 16_000_000_000

    @property
    def asks_for_generator(self) -> bool:
        """Whether a submission is a generator, and not images."""
        return self.suffix == GENERATOR_SUFFIX

    @property
    def resolution(self) -> str:
        """The size in words: ``"64x64"``."""
        return f"{self.size}x{self.size}"


#: What a submission must have unless a course says otherwise: the one place for the size and the number of images.
LIMITS = Limits()


def limits_for(size: int) -> Limits:
    """The limits of submissions whose images are ``size`` pixels wide and high.

    Where the images are larger than 64x64, the caps on bytes and multiply-adds grow as their area does.

    Raises:
        InputError: ``size`` is above 4,096, or no multiple of 32, as near-duplicates are recognised by means over 32x32
            equal blocks.
    """
    if size < SIZE_STEP or size % SIZE_STEP:
        raise InputError(
            f"The images of a submission cannot have a side of {size} pixels.", f"It must be a multiple of {SIZE_STEP}."
        )
    if size > LARGEST_SIZE:
        raise InputError(
            f"The images of a submission cannot have a side of {size:,} pixels.", f"It is {LARGEST_SIZE:,} at most."
        )
    times = max(1.0, (size / LIMITS.size) ** 2)
    return replace(
        LIMITS,
        size=size,
        compressed_bytes=int(LIMITS.compressed_bytes * times),
        bytes=int(LIMITS.bytes * times),
        gzip_members=int(LIMITS.gzip_members * times),
        member_bytes=int(LIMITS.member_bytes * times),
        macs=int(LIMITS.macs * times),
    )


class Code(str, Enum):
    """Why a submission is rejected: :meth:`meaning` is one sentence for people; :meth:`remedy` says what to do.

    Both are templates of :class:`Limits`, as a course sets the size.
    """

    _meaning: str
    _remedy: str

    def __new__(cls, value: str, meaning: str, remedy: str) -> Code:
        code = str.__new__(cls, value)
        code._value_ = value
        code._meaning, code._remedy = meaning, remedy
        return code

    NOT_GZIP = ("not_gzip", "The file is not gzip-compressed.", "Make the tarball with: facegen pack")
    DAMAGED = ("damaged", "The file is incomplete or corrupt.", "Pack and upload it again.")
    TOO_LARGE = ("too_large", "The archive is far larger than the images need.", "Pack only the {0.count:,} images.")
    TOO_MANY_MEMBERS = (
        "too_many_members",
        "The archive has far too many members.",
        "Pack only the {0.count:,} images.",
    )
    UNSAFE_MEMBER = (
        "unsafe_member",
        "A member is not a plain file at a plain path.",
        "Pack plain files at the top of the archive or in one folder, under short plain names.",
    )
    DUPLICATE_MEMBER = (
        "duplicate_member",
        "Two members have one name (upper and lower case count as one).",
        "Give each image a name of its own.",
    )
    FOREIGN_MEMBER = ("foreign_member", "A member is not an image.", "Leave everything but the images out.")
    WRONG_COUNT = ("wrong_count", "The number of images is not {0.count:,}.", "Submit exactly {0.count:,} images.")
    WRONG_FORMAT = ("wrong_format", "An image is not a still PNG or JPEG.", "Save the images as PNG.")
    WRONG_SIZE = ("wrong_size", "An image is not {0.resolution} pixels.", "Generate the images at {0.resolution}.")
    WRONG_MODE = ("wrong_mode", "An image is not 8-bit RGB.", "Save the images as 8-bit RGB without transparency.")
    BAD_IMAGE = ("bad_image", "An image cannot be decoded.", "Save the image again.")
    BAD_NAME = (
        "bad_name",
        "The file is not called <student_number>{0.suffix}.",
        "Name it with your student number (letters, digits, - and _), then {0.suffix}.",
    )
    EMPTY = ("empty", "There is no image in it.", "Submit exactly {0.count:,} images.")
    NOT_GENERATOR = (
        "not_generator",
        "The file is not a generator that facegen wrote.",
        "Make it of a trained run: facegen pack RUN STUDENT_NUMBER --seed 0",
    )
    GENERATOR_TOO_LARGE = (
        "generator_too_large",
        "The generator takes more memory or more work than a submission may.",
        "Train a narrower one: generator_width in the recipe.",
    )
    UNKNOWN_ARCHITECTURE = (
        "unknown_architecture",
        "The generator's architecture is none of facegen's own.",
        "Train one of facegen's own: facegen inspect --list",
    )
    WRONG_WEIGHTS = (
        "wrong_weights",
        "The weights are none that the generator's recipe can have.",
        "Submit what facegen train wrote, unchanged.",
    )
    DRAWS_NO_IMAGES = (
        "draws_no_images",
        "What the generator draws is of one colour, or no number.",
        "Look at what it draws first: facegen sample RUN IMAGES",
    )

    def meaning(self, limits: Limits = LIMITS) -> str:
        """What is wrong, a sentence."""
        return self._meaning.format(limits)

    def remedy(self, limits: Limits = LIMITS) -> str:
        """What to do about it, a sentence."""
        return self._remedy.format(limits)


class Rejection(Refused):
    """A submission that breaks a rule: ``code`` names the rule, ``message`` the file or member that breaks it.

    ``limits`` are those that it breaks: the remedy gives their count and size.
    """

    def __init__(self, code: Code, message: str, limits: Limits = LIMITS) -> None:
        super().__init__(message, code.remedy(limits))
        self.code = code

    def __str__(self) -> str:
        return f"Refused ({self.code.value}): {super().__str__()}"


def check_student_number(number: str) -> str:
    """``number`` itself where it can name a file on every system; InputError otherwise."""
    if not _STUDENT_NUMBER.fullmatch(number) or number.lower() in _DEVICES:
        raise InputError(
            f"The student number {number!r} cannot name a submission.",
            "Use 1 to 64 letters, digits, - and _, a letter or digit first.",
        )
    return number


def student_number_of(file_name: str, limits: Limits = LIMITS) -> str:
    """The student number in a submission's file name; Rejection ``bad_name`` where it has none.

    Where generators are asked for, a tarball's name has one too: its row says what is asked for, and whose it is.
    """
    number = file_name.removesuffix(limits.suffix).removesuffix(SUFFIX)
    if number != file_name:
        try:
            return check_student_number(number)
        except InputError:
            pass  # said below, in the words of a rejection
    message = f"The file name {shown(file_name)} is not <student_number>{limits.suffix}."
    raise Rejection(Code.BAD_NAME, message, limits)


def shown(name: str) -> str:
    """``name`` in quotes, escaped and shortened, fit to stand in a message, a table or a terminal."""
    return f"'{shortened(printable(name), 80)}'"


def megabytes(count: int) -> str:
    """A number of bytes for a message: ``"256 MiB"``."""
    return f"{count / (1 << 20):,.4g} MiB"


def is_picture_name(path: str) -> bool:
    """Whether a member's suffix is that of a picture, of a format that is accepted or of another."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in FORMATS or suffix in OTHER_PICTURES


def plain_path(name: str, limits: Limits = LIMITS) -> str:
    """The member path ``name`` without ``./`` and trailing ``/``; Rejection ``unsafe_member`` where it is not plain.

    Not plain are: absolute, parent, drive and backslash paths, unprintable characters, and names over
    ``limits.name_bytes`` bytes. How deep it lies is checked by :func:`check_depth`. The name of litter may be
    unprintable (macOS's ``Icon\\r``): nobody is shown it.
    """
    if len(name.encode("utf-8", "surrogatepass")) > limits.name_bytes:
        raise Rejection(
            Code.UNSAFE_MEMBER, f"The member {shown(name)} has a name longer than {limits.name_bytes} bytes."
        )
    if not is_litter(name) and any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(name)} has an unprintable character in its name.")
    if name.startswith("/") or _DRIVE.match(name):
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(name)} has an absolute path.")
    if "\\" in name:
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(name)} has a backslash in its path.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(name)} climbs out of its folder with '..'.")
    return "/".join(parts)


def check_depth(path: str, folder: bool) -> None:
    """Rejection ``unsafe_member`` where ``path`` lies deeper than one folder."""
    if path.count("/") + folder > 1:
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(path)} lies deeper than one folder.")


def same_name_key(path: str) -> str:
    """Equal for two paths that Windows or macOS would write to one file."""
    return unicodedata.normalize("NFC", path).casefold()
