"""Limits on what a file may claim to hold.

A few bytes can stand for any number of images, bytes and pixels. The limits lie far above what photographs need. A
file within them is read in a time that is proportional to its own size.
"""

from __future__ import annotations

from pathlib import Path

from facegen.errors import InputError
from facegen.printable import printable

#: Maximum size of one encoded image, in bytes: the most pixels that are decoded, uncompressed, 16 bits per channel.
LARGEST_IMAGE = 640 << 20
#: Maximum number of images or entries of one archive, table or array. ImageNet has 1.4 million.
MOST_ENTRIES = 2_000_000
#: Maximum ratio of the size of contents to the size that they are packed in. Photographs are compressed already.
RATIO = 100
#: Sizes in bytes up to which any ratio is allowed: for one image, and for everything in an archive.
FREE_MEMBER, FREE_TOTAL = 1 << 20, 256 << 20
#: Numbers of pixels, before any resize, that are allowed whatever the size in bytes: for one image, and for all images
#: of a file. Above them, :data:`RATIO` pixels per byte are allowed. Photographs have 5 pixels per byte.
FREE_IMAGE_PIXELS, FREE_PIXELS = 9_000_000, 300_000_000
#: Maximum number of scans of a progressive JPEG. Each scan costs one pass; encoders write about ten.
MOST_SCANS = 100
#: Above this number of images, each must take at least this many bytes of the file; otherwise they share bytes.
FREE_IMAGES, SMALLEST_IMAGE = 10_000, 16
#: Maximum length of the attributes of one tar entry, in bytes, and of the name of any archive's entry, in characters.
LONGEST_HEADER, LONGEST_NAME = 1 << 20, 4096

_NO_BOMB = "If it is not, unpack it and name the folder."


def is_out_of_proportion(claimed: int, held: int, free: int) -> bool:
    """Return whether ``claimed`` bytes are more than ``free`` and more than :data:`RATIO` times the ``held`` bytes."""
    return claimed > max(free, RATIO * held)


def require_proportion(what: str, claimed: int, held: int) -> None:
    """Raise InputError if a file claims more contents than can really be packed into its size.

    Args:
        what: The file, as the beginning of a sentence.
        claimed: Size of its contents in bytes.
        held: Size that they are packed in, in bytes.
    """
    if is_out_of_proportion(claimed, held, FREE_TOTAL):
        raise InputError(
            f"{what} has {held:,} bytes and claims to hold {claimed:,} bytes, more than {RATIO} times as many: "
            "it looks like a decompression bomb.",
            _NO_BOMB,
        )


class PixelCount:
    """A count of the pixels decoded from one file, compared with the file's size in bytes.

    It refuses an archive in which thousands of names stand for one image.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Start the count for the file at ``path``. For a folder, or without a path, there is no limit."""
        self._path, self._pixels = path, 0
        self._held = None if path is None or path.is_dir() else path.stat().st_size

    def add(self, pixels: int) -> None:
        """Count the pixels of the next images.

        Args:
            pixels: The sum of width times height.

        Raises:
            InputError: The images have too many pixels for the size of the file.
        """
        self._pixels += pixels
        if self._held is not None and is_out_of_proportion(self._pixels, self._held, FREE_PIXELS):
            raise InputError(
                f"{self._path} has {self._held:,} bytes and its images have more than {self._pixels:,} pixels, more "
                f"than {RATIO} per byte: it looks like a decompression bomb.",
                _NO_BOMB,
            )


def require_images(what: str, count: int, held: int) -> None:
    """Raise InputError if a file claims more images than its size allows.

    Args:
        what: The file, as the beginning of a sentence.
        count: Number of images that it claims to hold.
        held: Its size in bytes.
    """
    if count > FREE_IMAGES and count * SMALLEST_IMAGE > held:
        raise InputError(
            f"{what} has {held:,} bytes and claims to hold {count:,} images, less than {SMALLEST_IMAGE} bytes per "
            "image: it looks like a decompression bomb.",
            _NO_BOMB,
        )


def require_name(path: Path, name: str) -> None:
    """Raise InputError if a name in an archive is too long for any system.

    Args:
        path: The archive.
        name: The name of one of its entries.
    """
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{path} has an entry whose name is {len(name):,} characters long: {printable(name[:40])}….",
            f"Make the archive again with names of at most {LONGEST_NAME:,} characters.",
        )


def require_few(what: str, count: int) -> None:
    """Raise InputError if a file claims more than :data:`MOST_ENTRIES` entries.

    Args:
        what: The file, as the beginning of a sentence.
        count: Number of entries.
    """
    if count > MOST_ENTRIES:
        raise InputError(
            f"{what} claims more than {MOST_ENTRIES:,} entries, the most that facegen reads from one file.",
            "Divide it into several files.",
        )
