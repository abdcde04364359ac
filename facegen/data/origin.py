"""Record in an image where it comes from, as PNG text chunks. ``facegen sample`` writes them and scores name them.

They travel with the file through folders, archives and tarballs. A program that writes the image anew drops them. They
help an honest user to remember, and prove nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from PIL.PngImagePlugin import PngInfo


@dataclass(frozen=True)
class Origin:
    """The origin that an image, or a set of images, records about itself.

    Attributes:
        sampling: How it was drawn; None for plain sampling or if it says nothing.
        trained_against: The frozen network whose features its generator was trained against, by the name of the
            scores in those features; None if there was none or it says nothing.
    """

    sampling: str | None = None
    trained_against: str | None = None


#: The keyword of the chunk of each field. Images of plain sampling, or of an ordinary generator, have no chunk.
KEYWORDS = {"sampling": "Sampling", "trained_against": "Trained-Against"}
_FIELDS = {keyword.encode(): field for field, keyword in KEYWORDS.items()}
_LONGEST = 200
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_info(origin: Origin) -> PngInfo | None:
    """Return ``origin`` for Pillow's ``save(pnginfo=…)``, in ASCII. None leaves the file unchanged."""
    if origin == Origin():
        return None
    info = PngInfo()
    for field, keyword in KEYWORDS.items():
        text = getattr(origin, field)
        if text is not None:
            info.add_text(keyword, text)
    return info


def origin_of(data: bytes) -> Origin:
    """Return where an encoded image says that it comes from.

    Only uncompressed text before a PNG's pixels is read, where :func:`png_info` puts it. The file may come from
    anyone, so control characters, which a terminal could obey, and everything beyond 200 characters are dropped.
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
    """Summarise a set of images from the count of each origin. A field is None if every image says nothing.

    A field is ``"truncation 0.8"``, or ``"truncation 0.8 (300 of 1,000 images)"`` if not all images say the same.
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
