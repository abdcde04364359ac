"""Where images come from, in the images themselves: PNG text chunks that ``facegen sample`` writes and scores name.

They go with a file through folders, archives and tarballs. A program that writes the image anew drops them: they keep
an honest user from forgetting, and prove nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from PIL.PngImagePlugin import PngInfo


@dataclass(frozen=True)
class Origin:
    """What an image, or a set of them, says of where it comes from.

    Attributes:
        sampling: how it was drawn; None for plain sampling, and where it says nothing.
        trained_against: the frozen network whose features its generator was trained against, by the name that scores
            in those features go by; None where there was none, and where it says nothing.
    """

    sampling: str | None = None
    trained_against: str | None = None


#: The keyword of each one's chunk. Images of plain sampling, of a generator trained against nothing, have no chunk.
KEYWORDS = {"sampling": "Sampling", "trained_against": "Trained-Against"}
_FIELDS = {keyword.encode(): field for field, keyword in KEYWORDS.items()}
_LONGEST = 200
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_info(origin: Origin) -> PngInfo | None:
    """What Pillow's ``save(pnginfo=…)`` takes to write ``origin``, in ASCII; None leaves the file as it would be."""
    if origin == Origin():
        return None
    info = PngInfo()
    for field, keyword in KEYWORDS.items():
        text = getattr(origin, field)
        if text is not None:
            info.add_text(keyword, text)
    return info


def origin_of(data: bytes) -> Origin:
    """What an encoded image says of where it comes from.

    Only uncompressed text before a PNG's pixels is looked at, where :func:`png_info` puts it. The file may be
    anybody's: control characters, which a terminal could obey, are left out, and all beyond 200 characters.
    """
    said: dict[str, str | None] = {}
    start = len(_SIGNATURE) if data.startswith(_SIGNATURE) else len(data)
    while start + 12 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if kind == b"IDAT" or start + 12 + length > len(data):
            break
        if kind == b"tEXt":
            keyword, _, text = data[start + 8 : start + 8 + min(length, 4 * _LONGEST)].partition(b"\0")
            if keyword in _FIELDS:
                shown = "".join(filter(str.isprintable, text.decode("latin-1")))[:_LONGEST].strip()
                said.setdefault(_FIELDS[keyword], shown or None)
        start += 12 + length
    return Origin(**said)


def summary(origins: Counter[Origin]) -> Origin:
    """A set of images in words, from how often each origin was read; None where every image says nothing.

    ``"truncation 0.8"``; where not all say the same, ``"truncation 0.8 (300 of 1,000 images)"``, and so on.
    """
    samplings, networks = Counter[str | None](), Counter[str | None]()
    for origin, count in origins.items():
        samplings[origin.sampling] += count
        networks[origin.trained_against] += count
    return Origin(_in_words(samplings), _in_words(networks))


def _in_words(texts: Counter[str | None]) -> str | None:
    total = texts.total()
    said = sorted((-count, text) for text, count in texts.items() if text is not None)
    parts = [text if -count == total else f"{text} ({-count:,} of {total:,} images)" for count, text in said[:3]]
    rest = len(said) - len(parts)
    return "; ".join([*parts, f"others: {rest:,}"] if rest else parts) or None
