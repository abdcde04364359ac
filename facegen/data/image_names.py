"""Names of images in folders and archives: which they are, and in what order.

Litter and files that do not end like an image are passed over.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from facegen.data.decode import suffixes
from facegen.data.litter import is_litter

#: What iCloud leaves of a file that it took off the disk: ``.1.jpg.icloud`` for ``1.jpg``.
PLACEHOLDER = ".icloud"


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``, ignoring case; the name itself breaks ties."""
    parts = re.split(r"0*([0-9]+)", name.casefold())
    # Odd parts are digits, even ones text, so parts at one position always compare with their like. Of two numbers
    # without leading zeros the longer is greater: no limit on their digits, as int() has.
    return [(len(part), part) if at % 2 else part for at, part in enumerate(parts)], name


def as_utf8(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 spelt out, so that it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """What each name is called (by :func:`as_utf8`) → the name itself: no two are called alike.

    Of two that would be, the one that is not UTF-8 gets a number: ``x (2).png``.
    """
    shown, spelt_out = {}, []
    for name in names:
        text = as_utf8(name)
        if text == name:
            shown[name] = name
        else:
            spelt_out.append((text, name))
    for text, name in sorted(spelt_out):
        stem, dot, suffix = text.rpartition(".")
        unique, number = text, 2
        while unique in shown:
            unique, number = f"{stem} ({number}){dot}{suffix}", number + 1
        shown[unique] = name
    return shown


def is_image_name(name: str) -> bool:
    """Whether ``name`` (relative, forward slashes) ends like an image and is not litter."""
    return suffix_of(name) in suffixes() and not is_litter(name)


def is_hidden_image(name: str) -> bool:
    """Whether ``name`` is an image's but for the dot that hides it: ``.1.png``, ``.jpg``, iCloud's ``.1.jpg.icloud``.

    Not so are ``._1.png``, which macOS makes itself, and what lies in a folder of litter.
    """
    folder, _, file = name.rpartition("/")
    if not file.startswith(".") or file.startswith("._") or is_litter(folder):
        return False
    return f".{file.lower().removesuffix(PLACEHOLDER).rpartition('.')[2]}" in suffixes()


def suffix_of(name: str) -> str:
    """The ending of a file's name in lower case, with its dot: ``".jpg"``; ``""`` where it has none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return dot + suffix.lower() if stem else ""


def count_twins(names: Iterable[str]) -> int:
    """How many of ``names`` another one differs from by the normal form of Unicode alone.

    macOS spells é as two characters (form D), other systems as one (form C).
    """
    forms = Counter(unicodedata.normalize("NFC", name) for name in names if not name.isascii())
    return forms.total() - len(forms)
