"""Words from outside (file names, names in archives and recipes, text in images), made fit to be shown to people.

Where such words are shown they are made fit, and not where they are read: the exact name finds the file. The places are
few: :mod:`facegen.console`, the pages, the tables for spreadsheets.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from typing import Any

#: Drawn as nothing or as a space, though Unicode counts them as letters and marks: the grapheme joiner, Hangul fillers,
#: Khmer's inherent vowels, Mongolian and other variation selectors, the empty Braille cell.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
#: What takes the place of the characters of facegen's own sentences and charts on a terminal that lacks them.
_PLAINER = {
    **{"→": "->", "←": "<-", "×": "x", "·": "*", "∞": "inf", "±": "+/-", "≤": "<=", "≥": ">=", "≈": "~"},
    **{"‐": "-", "–": "-", "—": "-", "−": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"'},
    **{"²": "^2", "³": "^3", "•": "*", "°": " degrees", "µ": "u", "μ": "mu", "σ": "sigma", "γ": "gamma"},
    **{"█": "#", "▏": "|"},
}
#: A name of this field: it stays one.
_NAMED = {"Fréchet": "Frechet"}


def printable(text: str) -> str:
    """``text`` with every character that is not to be seen spelt out, as ``\\u202e``.

    A terminal obeys such characters or a reader misreads them: control characters, line breaks and escapes; marks of
    writing direction, joiners and others without width; spaces other than the common one; private and unassigned
    characters, and bytes of a file name that are no UTF-8 (``\\udce9``). Letters, accents and signs of a script stay.
    """
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(_spelt_out(c) if not c.isprintable() or _INVISIBLE.match(c) else c for c in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, whose line breaks (``\\n``) stay."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """``text`` if it has at most ``most`` characters; else its beginning and its end, with … between."""
    end = most // 5
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """``value`` as indented JSON in which nothing is raw that :func:`printable` spells out.

    Such characters are written by JSON's own escapes, so that a reader has the exact text. Only bytes of a file name
    that are no UTF-8 have no exact form, as many readers refuse half a surrogate pair: they are the six characters of
    ``\\udce9``.

    Args:
        value: what :func:`json.dumps` takes.
        ascii_only: escape whatever is not ASCII.

    Raises:
        ValueError: there is NaN or infinity in it, which are not JSON.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(_json_line(line, ascii_only) for line in text.split("\n"))


def _json_line(line: str, ascii_only: bool) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(_escaped(c) if printable(c) != c or (ascii_only and not c.isascii()) else c for c in line)


def _escaped(c: str) -> str:
    """A character within a string of JSON, as JSON's escape."""
    if unicodedata.category(c) == "Cs":
        return f"\\{_spelt_out(c)}"
    return json.dumps(c)[1:-1] if ord(c) > 0x7F else _spelt_out(c)  # json.dumps leaves delete, 0x7F, as it is


#: A word that cmd and PowerShell take as it is.
_WINDOWS_WORD = re.compile(r"[\w+.:/\\=-]+")


def command_line(words: Sequence[str]) -> str:
    """A command as a user can type it: for a POSIX shell, and on Windows for cmd and PowerShell alike.

    Those two know no single quotes both. No name of a file has a double one there.
    """
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(word if _WINDOWS_WORD.fullmatch(word) else f'"{word}"' for word in words)


def plainer(text: str, encoding: str | None) -> str:
    """``text`` without what ``encoding`` lacks: → becomes ->, a box's lines -, | and +, all other \\u2014 and the like.

    ``text`` itself where nothing is lacking, or where there is no encoding (None), as there is none in a
    :class:`io.StringIO`.
    """
    if encoding is None or _has(encoding, text):
        return text
    for name, other in _NAMED.items():
        if not _has(encoding, name):
            text = text.replace(name, other)
    return "".join(c if _has(encoding, c) else _PLAINER.get(c) or _line_of(c) or _spelt_out(c) for c in text)


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # the name of no encoding: ASCII is in all of them
        return text.isascii()
    return True


def _line_of(c: str) -> str | None:
    """-, | or + for a character that draws lines of boxes; None for any other."""
    if not "\u2500" <= c <= "\u257f":
        return None
    name = unicodedata.name(c)
    level = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
    upright = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
    return "+" if level and upright else "|" if upright else "-"


def _spelt_out(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08x}"
