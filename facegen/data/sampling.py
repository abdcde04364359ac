"""How images were drawn, in the images themselves: a PNG text chunk that ``facegen sample`` writes and scores name.

It goes with a file through folders, archives and tarballs. A program that writes the image anew drops it: it keeps an
honest user from forgetting, and proves nothing.
"""

from __future__ import annotations

from collections import Counter

from PIL.PngImagePlugin import PngInfo

#: The keyword of the chunk. Images of plain sampling have none.
KEYWORD = "Sampling"
_LONGEST = 200
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_info(sampling: str | None) -> PngInfo | None:
    """What Pillow's ``save(pnginfo=…)`` takes to write ``sampling``, in ASCII; None leaves the file as it would be."""
    if sampling is None:
        return None
    info = PngInfo()
    info.add_text(KEYWORD, sampling)
    return info


def sampling_of(data: bytes) -> str | None:
    """What an encoded image says of how it was drawn; None where it says nothing.

    Only uncompressed text before a PNG's pixels is looked at, where :func:`png_info` puts it. The file may be
    anybody's: control characters, which a terminal could obey, are left out, and all beyond 200 characters.
    """
    if not data.startswith(_SIGNATURE):
        return None
    start = len(_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if kind == b"IDAT" or start + 12 + length > len(data):
            return None
        if kind == b"tEXt":
            keyword, _, text = data[start + 8 : start + 8 + min(length, 4 * _LONGEST)].partition(b"\0")
            if keyword == KEYWORD.encode():
                said = "".join(filter(str.isprintable, text.decode("latin-1")))[:_LONGEST].strip()
                return said or None
        start += 12 + length
    return None


def summary(samplings: Counter[str | None]) -> str | None:
    """A set of images in words, from how often each sampling was read; None where all were sampled plainly.

    ``"truncation 0.8"``; where not all say the same, ``"truncation 0.8 (300 of 1,000 images)"``, and so on.
    """
    total = samplings.total()
    said = sorted((-count, text) for text, count in samplings.items() if text is not None)
    parts = [text if -count == total else f"{text} ({-count:,} of {total:,} images)" for count, text in said[:3]]
    rest = len(said) - len(parts)
    return "; ".join([*parts, f"others: {rest:,}"] if rest else parts) or None
