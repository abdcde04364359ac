"""Words from outside (file names, names in archives and recipes, text in images), made fit to be shown to people."""

from __future__ import annotations

import unicodedata

#: Control, invisible and line-breaking characters and lone surrogates: a terminal may obey them, a reader misread them.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """``text`` with every character that is not to be seen spelt out, as ``\\u202e``."""
    return "".join(c if unicodedata.category(c) not in _UNPRINTABLE else f"\\u{ord(c):04x}" for c in text)
