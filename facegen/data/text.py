"""Read text files that a user made with an editor or a spreadsheet."""

from __future__ import annotations

import codecs


def text_of(data: bytes) -> str | None:
    """Decode a file's bytes as UTF-8, with or without a byte order mark, or as UTF-16. Return None if they are neither.

    Excel's "Unicode text", Notepad and PowerShell write UTF-16.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:2]:  # UTF-16 without a mark: every other byte of plain letters is zero.
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
