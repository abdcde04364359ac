"""Tell images by their names in folders and archives, and sort the names.

A file is an image by its ending. Litter (what systems and programs leave beside a user's files) is never an image.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from facegen.data.decode import suffixes
from facegen.data.litter import is_litter

#: The placeholder that iCloud leaves for a file that it removed from the disk: ``.1.jpg.icloud`` for ``1.jpg``.
PLACEHOLDER = ".icloud"


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg`` and ignores case. Ties are broken by the name itself."""
    parts = re.split(r"0*([0-9]+)", name.casefold())
    # Odd parts are digits and even parts are text, so like is compared with like. Of two numbers without leading zeros
    # the longer is the greater. Comparing lengths avoids int(), which limits the number of digits.
    return [(len(part), part) if at % 2 else part for at, part in enumerate(parts)], name


def as_utf8(name: str) -> str:
    """Return ``name`` with bytes that are not UTF-8 spelt out, so that it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """Return the real name for each shown name. The shown names come from :func:`as_utf8` and are all different.

    If two names would be shown alike, the one that is not UTF-8 gets a number: ``x (2).png``.
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
    """Return whether ``name`` (relative, with forward slashes) ends like an image and is not litter."""
    return suffix_of(name) in suffixes() and not is_litter(name)


def is_hidden_image(name: str) -> bool:
    """Return whether only a leading dot keeps ``name`` from being an image: ``.1.png``, ``.jpg``, ``.1.jpg.icloud``.

    ``._1.png``, which macOS makes itself, does not count. Neither does a file in a folder of litter.
    """
    folder, _, file = name.rpartition("/")
    if not file.startswith(".") or file.startswith("._") or is_litter(folder):
        return False
    return f".{file.lower().removesuffix(PLACEHOLDER).rpartition('.')[2]}" in suffixes()


def suffix_of(name: str) -> str:
    """Return the ending of a file name in lower case with its dot, such as ``".jpg"``; ``""`` if it has none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return dot + suffix.lower() if stem else ""


def count_twins(names: Iterable[str]) -> int:
    """Return how many of ``names`` equal another one except for their Unicode normal form.

    macOS spells é as two characters (form D), other systems as one (form C).
    """
    forms = Counter(unicodedata.normalize("NFC", name) for name in names if not name.isascii())
    return forms.total() - len(forms)
