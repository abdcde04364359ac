"""Makes text from outside (file names, names in archives and recipes, text in images) safe to show to people.

Text is made printable where it is shown, not where it is read, because only the exact name finds the file. Three
places show it: :mod:`facegen.console`, the HTML pages, and the tables for spreadsheets.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from typing import Any

#: Characters that look like nothing or like a space, although Unicode counts them as letters and marks: the grapheme
#: joiner, Hangul fillers, Khmer's inherent vowels, Mongolian and other variation selectors, the empty Braille cell.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
#: Replacements for the characters of facegen's own sentences and charts, for terminals that lack them.
_PLAINER = {
    **{"→": "->", "←": "<-", "×": "x", "·": "*", "∞": "inf", "±": "+/-", "≤": "<=", "≥": ">=", "≈": "~"},
    **{"‐": "-", "–": "-", "—": "-", "−": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"'},
    **{"²": "^2", "³": "^3", "•": "*", "°": " degrees", "µ": "u", "μ": "mu", "σ": "sigma", "γ": "gamma"},
    **{"█": "#", "▏": "|"},
}
#: A name of this field, which is not translated into plainer characters.
_NAMED = {"Fréchet": "Frechet"}


def printable(text: str) -> str:
    r"""Return ``text`` with every invisible or dangerous character replaced by an escape such as ``\u202e``.

    A terminal interprets such characters, or a reader misreads them. They are: control characters, line breaks and
    escapes; marks of writing direction, joiners and other characters without width; spaces other than the ordinary
    one; private and unassigned characters; and bytes of a file name that are not UTF-8 (``\udce9``). Letters, accents
    and signs of any script are kept.
    """
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(_spelt_out(c) if not c.isprintable() or _INVISIBLE.match(c) else c for c in text)


def printable_lines(text: str) -> str:
    r"""Do the same as :func:`printable` for text of several lines, and keep the line breaks (``\n``)."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """Return ``text`` if it has at most ``most`` characters, else its beginning and its end with … between them."""
    end = most // 5
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    r"""Return ``value`` as indented JSON that escapes every character that :func:`printable` escapes.

    JSON's own escapes are used, so a reader gets the exact text. Bytes of a file name that are not UTF-8 are the
    exception: many readers refuse half a surrogate pair, so they are written as the six characters of ``\udce9``.

    Args:
        value: Anything that :func:`json.dumps` takes.
        ascii_only: Escape everything that is not ASCII.

    Raises:
        ValueError: ``value`` contains NaN or infinity, which JSON does not have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(_json_line(line, ascii_only) for line in text.split("\n"))


def _json_line(line: str, ascii_only: bool) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(_escaped(c) if printable(c) != c or (ascii_only and not c.isascii()) else c for c in line)


def _escaped(c: str) -> str:
    """Escape a character within a JSON string, in JSON's way."""
    if unicodedata.category(c) == "Cs":
        return f"\\{_spelt_out(c)}"
    return json.dumps(c)[1:-1] if ord(c) > 0x7F else _spelt_out(c)  # json.dumps does not escape delete, 0x7F


#: A word that cmd and PowerShell accept without quotes.
_WINDOWS_WORD = re.compile(r"[\w+.:/\\=-]+")


def command_line(words: Sequence[str]) -> str:
    """Return a command as a user can type it in a POSIX shell, or on Windows in both cmd and PowerShell.

    cmd and PowerShell have only double quotes in common. A file name on Windows cannot contain one.
    """
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(word if _WINDOWS_WORD.fullmatch(word) else f'"{word}"' for word in words)


def plainer(text: str, encoding: str | None) -> str:
    """Return ``text`` with characters that ``encoding`` lacks replaced: → by ->, lines of boxes by -, | and +.

    All other missing characters become escapes such as ``\u2014``.

    ``text`` is returned unchanged if nothing is lacking, or if ``encoding`` is None, as for a :class:`io.StringIO`.
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
    except LookupError:  # an unknown encoding: ASCII is part of all of them
        return text.isascii()
    return True


def _line_of(c: str) -> str | None:
    """Return -, | or + for a character that draws lines of boxes, and None for any other."""
    if not "\u2500" <= c <= "\u257f":
        return None
    name = unicodedata.name(c)
    level = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
    upright = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
    return "+" if level and upright else "|" if upright else "-"


def _spelt_out(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08x}"
