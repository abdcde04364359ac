"""What a file may claim to hold: a few bytes can stand for any number of images, bytes and pixels.

The caps are far above what photographs need. What is within them is read in a time that goes with the file's own size.
"""

from __future__ import annotations

from pathlib import Path

from facegen.errors import InputError
from facegen.printable import printable

#: Bytes of one encoded image: an uncompressed one of the most pixels that are decoded, with 16 bits a channel.
LARGEST_IMAGE = 640 << 20
#: Images, or entries, of one archive, table or array. ImageNet has 1.4 million.
MOST_ENTRIES = 2_000_000
#: Contents may be so many times as large as what they are packed in. Photographs are packed already.
RATIO = 100
#: Up to so many bytes any ratio is allowed: of one image, and of all that an archive holds.
FREE_MEMBER, FREE_TOTAL = 1 << 20, 256 << 20
#: Up to so many pixels are allowed however few bytes they come from: of one image, and of all images of a file, before
#: any resize. Above, :data:`RATIO` pixels a byte are allowed; photographs have 5.
FREE_IMAGE_PIXELS, FREE_PIXELS = 9_000_000, 300_000_000
#: A progressive JPEG is gone through once a scan; encoders write about ten.
MOST_SCANS = 100
#: Of so many images, each takes at least so many bytes of the file they lie in, unless they are one image.
FREE_IMAGES, SMALLEST_IMAGE = 10_000, 16
#: Bytes of the attributes of one entry of a tar, and of the name of any.
LONGEST_HEADER, LONGEST_NAME = 1 << 20, 4096

_NO_BOMB = "If it is none, unpack it and name the folder."


def is_out_of_proportion(claimed: int, held: int, free: int) -> bool:
    """Whether ``claimed`` bytes are more than :data:`RATIO` times the ``held`` ones, and more than ``free``."""
    return claimed > max(free, RATIO * held)


def require_proportion(what: str, claimed: int, held: int) -> None:
    """InputError where a file claims more contents than real ones pack so small.

    Args:
        what: the file, as it begins a sentence.
        claimed: bytes of its contents.
        held: bytes that they are packed in.
    """
    if is_out_of_proportion(claimed, held, FREE_TOTAL):
        raise InputError(
            f"{what} has {held:,} bytes and claims {claimed:,} bytes of contents, more than {RATIO} times as many: "
            "it looks like a decompression bomb.",
            _NO_BOMB,
        )


class PixelCount:
    """The pixels that were decoded of the images of one file, so that they stay in proportion to its bytes.

    So an archive in which thousands of names stand for one image is refused.
    """

    def __init__(self, path: Path | None = None) -> None:
        """``path``: the file that holds the images. In a folder, or without a path, any number of pixels is allowed."""
        self._path, self._pixels = path, 0
        self._held = None if path is None or path.is_dir() else path.stat().st_size

    def add(self, pixels: int) -> None:
        """Count the pixels of the next images. InputError where there are too many for the file.

        Args:
            pixels: width times height, summed up.
        """
        self._pixels += pixels
        if self._held is not None and is_out_of_proportion(self._pixels, self._held, FREE_PIXELS):
            raise InputError(
                f"{self._path} has {self._held:,} bytes and images of more than {self._pixels:,} pixels, more than "
                f"{RATIO} a byte: it looks like a decompression bomb.",
                _NO_BOMB,
            )


def require_images(what: str, count: int, held: int) -> None:
    """InputError where ``held`` bytes claim more images than can be different ones: each takes some bytes.

    Args:
        what: the file, as it begins a sentence.
        count: images that it claims.
        held: its bytes.
    """
    if count > FREE_IMAGES and count * SMALLEST_IMAGE > held:
        raise InputError(
            f"{what} has {held:,} bytes and claims {count:,} images, which is less than {SMALLEST_IMAGE} bytes for "
            "each: it looks like a decompression bomb.",
            _NO_BOMB,
        )


def require_name(path: Path, name: str) -> None:
    """InputError for a name in an archive that no system could unpack.

    Args:
        path: the archive.
        name: of one of its entries.
    """
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{path} has an entry whose name is {len(name):,} characters long, {printable(name[:40])}….",
            f"Make the archive again: no system takes names of more than {LONGEST_NAME:,}.",
        )


def require_few(what: str, count: int) -> None:
    """InputError where ``what``, which begins a sentence, claims more than :data:`MOST_ENTRIES` entries."""
    if count > MOST_ENTRIES:
        raise InputError(
            f"{what} claims more than {MOST_ENTRIES:,} entries, as many as are read of one file.",
            "Divide it into several.",
        )
