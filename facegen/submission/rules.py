"""The rules of a submission: its name, count, formats and caps, and every reason to reject one.

A submission is ``<student_number>.tar.gz``. It holds 1,000 still images, 8-bit RGB, PNG or JPEG, at the top of the
archive or in one folder. They are 64x64 pixels, unless the course asks for another size (:func:`limits_for`).

``facegen sample`` writes PNG. JPEG is accepted because the assignment asks for images and names no format. Its
artefacts cost the student score, not the submission. Palette, grey and transparent images, animations and other formats
are rejected: converting them would be a guess at what the student meant.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath

from facegen.data.litter import is_litter
from facegen.errors import InputError, Refused
from facegen.language import Message, mark, translate
from facegen.printable import printable, shortened

SUFFIX = ".tar.gz"
#: The suffix of a submission where a course asks for a generator instead of images.
GENERATOR_SUFFIX = ".safetensors"
#: The side of a submission's images is a multiple of this, in pixels.
SIZE_STEP = 32
#: Largest side of a submission's images, in pixels. The caps on bytes grow with the size.
LARGEST_SIZE = 4096
#: The suffixes that an image in a submission may have, and the format that each stands for.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
#: Suffixes of pictures in other formats. They are rejected as ``wrong_format`` rather than ``foreign_member``.
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
#: Names under which Windows opens a device, whatever the suffix.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
#: Categories of control, invisible and line-breaking characters. A name that has one looks like another name.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: A path on a Windows drive.
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Limits:
    """The requirements for a submission, and the caps on what is read of it.

    The caps are far above what 1,000 images of 64x64 need (about 9 MB). A careless submission is still told what is
    wrong with it: images of 128x128 are rejected as ``wrong_size``. The caps are also far below what hurts the machine
    that reads it. :func:`limits_for` returns those for another size.

    No cap is a time: a verdict depends on the bytes alone, however busy the machine is. The slowest file that was made
    on purpose within the caps takes less than a minute to read.

    Attributes:
        count: Number of images in a submission.
        size: Width and height of the images, in pixels.
        compressed_bytes: Largest size of the file.
        bytes: Largest size of the decompressed stream, including headers and padding.
        gzip_members: Largest number of parts that a gzip file is compressed in. bgzip makes one per 64 KiB.
        members: Largest number of files, folders and headers in the archive. It leaves space for an ``._`` twin of
            every image.
        member_bytes: Largest size of one member.
        header_bytes: Largest size of one extended header. macOS stores attributes there.
        header_records: Largest number of records in one extended header.
        name_bytes: Longest path of a member, in bytes.
        pieces: Largest number of chunks in a PNG, and of segments, or scans, in a JPEG.
        metadata: Largest number of colour profiles and of compressed or international texts in a PNG.
        suffix: Ending of the file's name: :data:`SUFFIX`, or :data:`GENERATOR_SUFFIX` where generators are asked for.
            The caps below apply to generators.
        generator_header_bytes: Largest size of the names, shapes and metadata before the weights.
        macs: Largest number of multiply-adds that a generator takes per image.
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
        """Whether a submission is a generator instead of images."""
        return self.suffix == GENERATOR_SUFFIX

    @property
    def resolution(self) -> str:
        """The size as text: ``"64x64"``."""
        return f"{self.size}x{self.size}"


#: The limits unless a course sets another size. Nothing else defines the size and the number of images.
LIMITS = Limits()


def limits_for(size: int) -> Limits:
    """Return the limits of submissions whose images are ``size`` pixels wide and high.

    For images larger than 64x64, the caps on bytes and multiply-adds grow with their area.

    Raises:
        InputError: ``size`` is above 4,096, or not a multiple of 32. Near-duplicates are recognised by the means of
            32x32 equal blocks.
    """
    if size < SIZE_STEP or size % SIZE_STEP:
        raise InputError(
            translate("The images of a submission cannot have a side of {size} pixels.", size=size),
            translate("It must be a multiple of {step}.", step=SIZE_STEP),
        )
    if size > LARGEST_SIZE:
        raise InputError(
            translate("The images of a submission cannot have a side of {size:,} pixels.", size=size),
            translate("It is {largest:,} at most.", largest=LARGEST_SIZE),
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
    """The reason why a submission is rejected.

    :meth:`meaning` says what is wrong, and :meth:`remedy` what to do about it. Both are in the language of the user and
    have the numbers of :class:`Limits`, because a course sets the size. The code itself is the same in every language.

    >>> Code.WRONG_COUNT.meaning()
    'The number of images is not 1,000.'
    >>> Code.WRONG_COUNT.remedy()
    'Submit exactly 1,000 images.'
    """

    _meaning: str
    _remedy: str

    def __new__(cls, value: str, meaning: str, remedy: str) -> Code:
        code = str.__new__(cls, value)
        code._value_ = value
        code._meaning, code._remedy = meaning, remedy
        return code

    NOT_GZIP = ("not_gzip", mark("The file is not gzip-compressed."), mark("Make the tarball with: facegen pack"))
    DAMAGED = ("damaged", mark("The file is incomplete or corrupt."), mark("Pack and upload it again."))
    TOO_LARGE = (
        "too_large",
        mark("The archive is far larger than the images need."),
        mark("Pack only the {count:,} images."),
    )
    TOO_MANY_MEMBERS = (
        "too_many_members",
        mark("The archive has far too many members."),
        mark("Pack only the {count:,} images."),
    )
    UNSAFE_MEMBER = (
        "unsafe_member",
        mark("A member is not a plain file at a plain path."),
        mark("Pack plain files at the top of the archive or in one folder, under short plain names."),
    )
    DUPLICATE_MEMBER = (
        "duplicate_member",
        mark("Two members have the same name (upper and lower case count as the same)."),
        mark("Give every image a name of its own."),
    )
    FOREIGN_MEMBER = ("foreign_member", mark("A member is not an image."), mark("Leave everything but the images out."))
    WRONG_COUNT = (
        "wrong_count",
        mark("The number of images is not {count:,}."),
        mark("Submit exactly {count:,} images."),
    )
    WRONG_FORMAT = ("wrong_format", mark("An image is not a still PNG or JPEG."), mark("Save the images as PNG."))
    WRONG_SIZE = (
        "wrong_size",
        mark("An image is not {resolution} pixels."),
        mark("Generate the images at {resolution}."),
    )
    WRONG_MODE = (
        "wrong_mode",
        mark("An image is not 8-bit RGB."),
        mark("Save the images as 8-bit RGB without transparency."),
    )
    BAD_IMAGE = ("bad_image", mark("An image cannot be decoded."), mark("Save the image again."))
    BAD_NAME = (
        "bad_name",
        mark("The file is not called <student_number>{suffix}."),
        mark("Name it with your student number (letters, digits, - and _), then {suffix}."),
    )
    EMPTY = ("empty", mark("The file holds no image."), mark("Submit exactly {count:,} images."))
    NOT_GENERATOR = (
        "not_generator",
        mark("The file is not a generator that facegen wrote."),
        mark("Make it from a trained run: facegen pack RUN STUDENT_NUMBER --seed 0"),
    )
    GENERATOR_TOO_LARGE = (
        "generator_too_large",
        mark("The generator takes more memory or more work than a submission may."),
        mark("Train a narrower one: generator_width in the recipe."),
    )
    UNKNOWN_ARCHITECTURE = (
        "unknown_architecture",
        mark("The generator's architecture is not one of facegen's own."),
        mark("Train one of facegen's own: facegen inspect --list"),
    )
    WRONG_WEIGHTS = (
        "wrong_weights",
        mark("The weights do not fit the generator's recipe."),
        mark("Submit the file that facegen train wrote, unchanged."),
    )
    DRAWS_NO_IMAGES = (
        "draws_no_images",
        mark("The generator draws images of a single colour, or values that are not numbers."),
        mark("Look at its images first: facegen sample RUN IMAGES"),
    )

    def meaning(self, limits: Limits = LIMITS) -> Message:
        """Return one sentence that says what is wrong."""
        return _filled(self._meaning, limits)

    def remedy(self, limits: Limits = LIMITS) -> Message:
        """Return one sentence that says what to do about it."""
        return _filled(self._remedy, limits)


def _filled(template: str, limits: Limits) -> Message:
    return translate(template, count=limits.count, resolution=limits.resolution, suffix=limits.suffix)


class Rejection(Refused):
    """The error of a submission that breaks a rule.

    Args:
        code: The rule.
        message: One sentence that names the file or member that breaks the rule.
        limits: The limits that apply. The remedy has their count and size.
    """

    def __init__(self, code: Code, message: str, limits: Limits = LIMITS) -> None:
        super().__init__(message, code.remedy(limits))
        self.code = code

    def __str__(self) -> str:
        return translate("Refused ({code}): {message}", code=self.code.value, message=super().__str__())


def check_student_number(number: str) -> str:
    """Return ``number`` if it can name a file on every system; raise InputError otherwise."""
    if not _STUDENT_NUMBER.fullmatch(number) or number.lower() in _DEVICES:
        raise InputError(
            translate("The student number {number} cannot name a submission.", number=repr(number)),
            translate("Use 1 to 64 letters, digits, - and _, and begin with a letter or digit."),
        )
    return number


def student_number_of(file_name: str, limits: Limits = LIMITS) -> str:
    """Return the student number in a submission's file name; raise Rejection ``bad_name`` if there is none.

    Where generators are asked for, the name of a tarball has a student number too. The tarball is rejected later, in
    the row of its student, with a message that says what is asked for.
    """
    number = file_name.removesuffix(limits.suffix).removesuffix(SUFFIX)
    if number != file_name:
        try:
            return check_student_number(number)
        except InputError:
            pass  # the rejection below names the rule
    message = translate(
        "The file name {name} is not <student_number>{suffix}.", name=shown(file_name), suffix=limits.suffix
    )
    raise Rejection(Code.BAD_NAME, message, limits)


def shown(name: str) -> str:
    """Return ``name`` in quotes, escaped and shortened, fit for a message, a table or a terminal."""
    return f"'{shortened(printable(name), 80)}'"


def megabytes(count: int) -> str:
    """Return a number of bytes as text for a message: ``"256 MiB"``."""
    return f"{count / (1 << 20):,.4g} MiB"


def is_picture_name(path: str) -> bool:
    """Return whether a member's suffix is that of a picture, in an accepted format or another."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in FORMATS or suffix in OTHER_PICTURES


def plain_path(name: str, limits: Limits = LIMITS) -> str:
    """Return the member path ``name`` without ``./`` and a trailing ``/``; raise Rejection if it is not plain.

    A path is ``unsafe_member`` if it is absolute, on a Windows drive, has a backslash, ``..`` or an unprintable
    character, or is longer than ``limits.name_bytes`` bytes. :func:`check_depth` checks how many folders deep it lies.
    Litter may have an unprintable name (macOS's ``Icon\\r``), because nobody is shown it.
    """
    if len(name.encode("utf-8", "surrogatepass")) > limits.name_bytes:
        message = translate(
            "The member {name} has a name longer than {most} bytes.", name=shown(name), most=limits.name_bytes
        )
        raise Rejection(Code.UNSAFE_MEMBER, message)
    if not is_litter(name) and any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        message = translate("The member {name} has an unprintable character in its name.", name=shown(name))
        raise Rejection(Code.UNSAFE_MEMBER, message)
    if name.startswith("/") or _DRIVE.match(name):
        raise Rejection(Code.UNSAFE_MEMBER, translate("The member {name} has an absolute path.", name=shown(name)))
    if "\\" in name:
        message = translate("The member {name} has a backslash in its path.", name=shown(name))
        raise Rejection(Code.UNSAFE_MEMBER, message)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        message = translate("The member {name} has '..' in its path, which leads out of its folder.", name=shown(name))
        raise Rejection(Code.UNSAFE_MEMBER, message)
    return "/".join(parts)


def check_depth(path: str, folder: bool) -> None:
    """Raise Rejection ``unsafe_member`` if ``path`` lies deeper than one folder."""
    if path.count("/") + folder > 1:
        message = translate("The member {name} lies deeper than one folder.", name=shown(path))
        raise Rejection(Code.UNSAFE_MEMBER, message)


def same_name_key(path: str) -> str:
    """Return a key that is equal for two paths that Windows or macOS would write to one file."""
    return unicodedata.normalize("NFC", path).casefold()
