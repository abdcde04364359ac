"""The pictures that the page shows: contact sheets, and the pairs of images that a flag's evidence names."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.grading.flags import Flag
from facegen.grading.outcome import GradedSubmission, picture_boxes
from facegen.grading.rows import LeaderboardRow
from facegen.pictures.contact_sheet import contact_sheet

Picture = npt.NDArray[np.uint8]
#: Known images for a flag's code and the names that its evidence gives them: uint8 [S, S, 3] by name, of those that
#: can be shown.
PicturesOf = Callable[[str, Sequence[str]], Mapping[str, Picture]]

#: Images of a contact sheet and of the strip that stands in a row.
_SHEET_COLUMNS, _SHEET_ROWS, _STRIP = 12, 4, 5
#: Pairs of which a page has pictures, in all and of one row: about 4 kB each, so 5 MB at most. Others are in words.
_ALL_PAIRS, _ROW_PAIRS = 1200, 40
#: Flags that a row shows in full; where a class hands in one set of images, each would have 299.
MOST_FLAGS = 24


@dataclass(frozen=True)
class Pair:
    """Two images that look alike, as a flag's evidence has them.

    ``image`` and ``match`` are their names, ``left`` and ``right`` data URIs, "" where there is no picture.
    """

    image: str
    match: str
    distance: int
    mirrored: bool
    left: str = ""
    right: str = ""


@dataclass(frozen=True)
class ShownFlag:
    """A flag with the pairs of its evidence: ``pictured`` first, then the others, in words alone."""

    flag: Flag
    pictured: tuple[Pair, ...]
    listed: tuple[Pair, ...]


@dataclass(frozen=True)
class ShownRow:
    """What a row shows.

    Attributes:
        strip: a few of its images beside one another, as a data URI; "" where its pictures were not kept.
        sheet: its contact sheet, as a data URI; "" for none.
        flags: in full, 24 at most.
        further: the names of the other flags.
    """

    strip: str
    sheet: str
    flags: tuple[ShownFlag, ...]
    further: tuple[str, ...]


def shown_rows(rows: Sequence[LeaderboardRow], pictures_of: PicturesOf | None = None) -> list[ShownRow]:
    """The contact sheets and pictured evidence of ``rows``. Each submission's pictures are decoded once.

    Args:
        rows: all of a page: what a flag says two of them share is cut from both.
        pictures_of: shows known images; without it, their side of a pair is left out.
    """
    flags = [row.flags[:MOST_FLAGS] for row in rows]
    with_pairs = sum(any(_examples(flag) for flag in some) for some in flags)
    most = min(_ROW_PAIRS, _ALL_PAIRS // max(1, with_pairs))
    pictured = [list(_pictured(some, most)) for some in flags]
    by_number = {row.outcome.student_number: at for at, row in reversed(list(enumerate(rows)))}
    of_rows: dict[int, set[str]] = {}
    of_known: dict[str, set[str]] = {}
    for at, pairs in enumerate(pictured):
        for flag, example in pairs:
            of_rows.setdefault(at, set()).add(example["image"])
            other = _owner(flag, at, by_number)
            if other is not None:
                of_rows.setdefault(other, set()).add(example["match"])
            else:
                of_known.setdefault(flag.name, set()).add(example["match"])
    strips, cut = [], {}
    for at, row in enumerate(rows):
        strip, sheet, some = _of_submission(row.outcome.graded, of_rows.get(at, set()))
        strips.append((strip, sheet))
        cut.update({(at, name): uri for name, uri in some.items()})
    known = {
        (code, name): jpeg_uri(picture)
        for code, names in sorted(of_known.items())
        for name, picture in (pictures_of(code, sorted(names)) if pictures_of else {}).items()
    }
    shown = []
    for at, row in enumerate(rows):
        places = {id(example) for _, example in pictured[at]}
        some_flags = []
        for flag in flags[at]:
            other = _owner(flag, at, by_number)
            with_picture, listed = [], []
            for example in _examples(flag):
                left = cut.get((at, example["image"]), "") if id(example) in places else ""
                match = example["match"]
                right = known.get((flag.name, match), "") if other is None else cut.get((other, match), "")
                pair = Pair(example["image"], match, example["distance"], example["mirrored"], left, right)
                (with_picture if left else listed).append(pair)
            some_flags.append(ShownFlag(flag, tuple(with_picture), tuple(listed)))
        further = tuple(flag.name for flag in row.flags[MOST_FLAGS:])
        shown.append(ShownRow(*strips[at], tuple(some_flags), further))
    return shown


def _examples(flag: Flag) -> Sequence[dict[str, Any]]:
    examples: Sequence[dict[str, Any]] = flag.details.get("examples", ())
    return examples


def _pictured(flags: Sequence[Flag], most: int) -> Iterator[tuple[Flag, dict[str, Any]]]:
    """The pairs of which there are pictures: of each flag the first, then of each the second, up to ``most``."""
    longest = max((len(_examples(flag)) for flag in flags), default=0)
    every = [(flag, _examples(flag)[place]) for place in range(longest) for flag in flags if place < len(_examples(flag))]
    yield from every[:most]


def _owner(flag: Flag, at: int, by_number: Mapping[str | None, int]) -> int | None:
    """The row whose images the flag's matches are; None where they are of no row."""
    code, _, number = flag.name.partition(":")
    if number:
        return by_number.get(number)
    return at if code == "duplicate_images" else None


def _of_submission(graded: GradedSubmission | None, names: set[str]) -> tuple[str, str, dict[str, str]]:
    """The strip and the contact sheet of a submission, and those of its images that are called ``names``."""
    if graded is None:
        return "", "", {}
    if not graded.pictures:
        return "", graded.sheet_uri if graded.sheet else "", {}
    count = len(graded.names)
    with Image.open(io.BytesIO(graded.pictures), formats=["JPEG"]) as opened:
        whole = opened.convert("RGB")
    boxes = picture_boxes(count, whole.width // min(count, 40))

    def cut(rows: Sequence[int]) -> Picture:
        return np.stack([np.asarray(whole.crop(boxes[row])) for row in rows])

    spread = [count * i // _STRIP for i in range(min(count, _STRIP))]
    places = np.linspace(0, count - 1, min(count, _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
    sheet = contact_sheet(cut(list(places)), columns=_SHEET_COLUMNS, gap=0)
    strip = contact_sheet(cut(spread), columns=len(spread), gap=0)
    at = {name: row for row, name in enumerate(graded.names) if name in names}
    some = {name: jpeg_uri(cut([row])[0], 80) for name, row in at.items()}
    return jpeg_uri(strip, 70), jpeg_uri(sheet, 75), some


def jpeg_uri(picture: Picture, quality: int = 80) -> str:
    """uint8 [H, W, 3] as the data URI of a JPEG, which says nothing but its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
