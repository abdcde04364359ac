"""Names of images in folders and archives: which they are, and in what order.

Hidden files, ``__MACOSX`` and files that do not end like an image are passed over.
"""

from __future__ import annotations

import re

from facegen.data.decode import suffixes

#: Hidden files and folders, and the resource forks that macOS packs beside the files.
_LITTER = re.compile(r"(?:^|/)(?:\.|__MACOSX/)")


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``, ignoring case; the name itself breaks ties."""
    parts = re.split(r"0*([0-9]+)", name.casefold())
    # Odd parts are digits, even ones text, so parts at one position always compare with their like. Of two numbers
    # without leading zeros the longer is greater: no limit on their digits, as int() has.
    return [(len(part), part) if at % 2 else part for at, part in enumerate(parts)], name


def printable(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 spelt out, so that it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_image_name(name: str) -> bool:
    """Whether ``name`` (relative, forward slashes) ends like an image and no part of it is hidden or macOS litter."""
    return name[name.rfind(".") :].lower() in suffixes() and not _LITTER.search(name)
