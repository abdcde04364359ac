"""The pictures that the page shows: contact sheets, and the pairs of images that a flag's evidence names."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.grading.flags import Flag
from facegen.grading.flags.copies import DUPLICATE_IMAGES
from facegen.grading.outcome import PICTURE_COLUMNS, GradedSubmission, picture_boxes
from facegen.grading.rows import LeaderboardRow
from facegen.pages import data_uri
from facegen.pictures.contact_sheet import contact_sheet

Picture = npt.NDArray[np.uint8]
#: Known images for a flag's code and the names that its evidence gives them: uint8 [S, S, 3] by name, of those that
#: can be shown.
PicturesOf = Callable[[str, Sequence[str]], Mapping[str, Picture]]

#: Images of a contact sheet and of the strip that stands in a row.
_SHEET_COLUMNS, _SHEET_ROWS, _STRIP = 8, 6, 4
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


class Album:
    """The pictures of a class. Several pages of it can share one: a submission's contact sheet is made once.

    Args:
        pictures_of: shows known images; without it, their side of a pair is left out.
    """

    def __init__(self, pictures_of: PicturesOf | None = None) -> None:
        self._pictures_of = pictures_of
        self._sheets: dict[bytes, tuple[str, str]] = {}

    def shown(self, rows: Sequence[LeaderboardRow]) -> list[ShownRow]:
        """The contact sheets and pictured evidence of ``rows``, all of a page: of what a flag says two of them share,
        each shows its own.
        """
        flags = [row.flags[:MOST_FLAGS] for row in rows]
        with_pairs = sum(any(_examples(flag) for flag in some) for some in flags)
        most = min(_ROW_PAIRS, _ALL_PAIRS // max(1, with_pairs))
        pictured = [_pictured(some, most) for some in flags]
        owners = _Owners(rows)
        wanted: dict[int | str, set[str]] = {}
        for at, counts in enumerate(pictured):
            for flag, count in zip(flags[at], counts, strict=True):
                for example in _examples(flag)[:count]:
                    wanted.setdefault(at, set()).add(example["image"])
                    wanted.setdefault(owners.of(flag, at), set()).add(example["match"])
        cut = self._cut(rows, wanted)
        shown = []
        for at, row in enumerate(rows):
            in_full = tuple(
                _shown(flag, count, at, owners.of(flag, at), cut)
                for flag, count in zip(flags[at], pictured[at], strict=True)
            )
            shown.append(ShownRow(*self._sheet(row), in_full, tuple(flag.name for flag in row.flags[MOST_FLAGS:])))
        return shown

    def _cut(
        self, rows: Sequence[LeaderboardRow], wanted: Mapping[int | str, set[str]]
    ) -> dict[tuple[int | str, str], str]:
        """Single images as data URIs, by their owner and name."""
        cut: dict[tuple[int | str, str], str] = {}
        for at, row in enumerate(rows):
            graded, names = row.outcome.graded, wanted.get(at, set())
            if graded is None or not graded.pictures or not (names or graded.pictures not in self._sheets):
                continue
            pictures = _Decoded(graded)
            self._sheets[graded.pictures] = pictures.strip(), pictures.sheet()
            rows_of = {name: row for row, name in enumerate(graded.names) if name in names}
            cut.update({(at, name): jpeg_uri(pictures.some([row])[0]) for name, row in rows_of.items()})
        for code in sorted(owner for owner in wanted if isinstance(owner, str)):
            known = self._pictures_of(code, sorted(wanted[code])) if self._pictures_of else {}
            cut.update({(code, name): jpeg_uri(picture) for name, picture in known.items()})
        return cut

    def _sheet(self, row: LeaderboardRow) -> tuple[str, str]:
        """The strip and the contact sheet of a row."""
        graded = row.outcome.graded
        if graded is None:
            return "", ""
        return self._sheets.get(graded.pictures, ("", graded.sheet_uri if graded.sheet else ""))


class _Decoded:
    """All pictures of a submission."""

    def __init__(self, graded: GradedSubmission) -> None:
        with Image.open(io.BytesIO(graded.pictures), formats=["JPEG"]) as opened:
            self._whole = np.asarray(opened)
        self._count = len(graded.names)
        self._boxes = picture_boxes(self._count, self._whole.shape[1] // min(self._count, PICTURE_COLUMNS))

    def some(self, rows: Sequence[int]) -> Picture:
        """uint8 [len(rows), S, S, 3]."""
        boxes = (self._boxes[row] for row in rows)
        return np.stack([self._whole[upper:lower, left:right] for left, upper, right, lower in boxes])

    def strip(self) -> str:
        places = [self._count * i // _STRIP for i in range(min(self._count, _STRIP))]
        return jpeg_uri(contact_sheet(self.some(places), columns=len(places), gap=0), 70)

    def sheet(self) -> str:
        places = np.linspace(0, self._count - 1, min(self._count, _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
        return jpeg_uri(contact_sheet(self.some(list(places)), columns=_SHEET_COLUMNS, gap=0), 75)


class _Owners:
    """Whose a flag's matches are: a row's place, or the flag's own code where they are known images."""

    def __init__(self, rows: Sequence[LeaderboardRow]) -> None:
        self._places = {row.outcome.student_number: at for at, row in reversed(list(enumerate(rows)))}

    def of(self, flag: Flag, at: int) -> int | str:
        """Of a flag of the row at the place ``at``."""
        code, _, number = flag.name.partition(":")
        if number:
            return self._places.get(number, code)
        return at if code == DUPLICATE_IMAGES.code else code


def _shown(flag: Flag, count: int, at: int, owner: int | str, cut: Mapping[tuple[int | str, str], str]) -> ShownFlag:
    """A flag of the row at ``at``, whose first ``count`` examples have pictures, where those are to be had."""
    pictured: list[Pair] = []
    listed: list[Pair] = []
    for place, example in enumerate(_examples(flag)):
        image, match = example["image"], example["match"]
        left, right = (cut.get(key, "") if place < count else "" for key in ((at, image), (owner, match)))
        (pictured if left else listed).append(Pair(image, match, example["distance"], example["mirrored"], left, right))
    return ShownFlag(flag, tuple(pictured), tuple(listed))


def _examples(flag: Flag) -> Sequence[dict[str, Any]]:
    examples: Sequence[dict[str, Any]] = flag.details.get("examples", ())
    return examples


def _pictured(flags: Sequence[Flag], most: int) -> list[int]:
    """How many pairs of each flag have pictures: of each the first, then of each the second, up to ``most`` in all."""
    counts = [0] * len(flags)
    while sum(counts) < most:
        open_ones = [at for at, flag in enumerate(flags) if counts[at] < len(_examples(flag))]
        if not open_ones:
            break
        for at in open_ones[: most - sum(counts)]:
            counts[at] += 1
    return counts


def jpeg_uri(picture: Picture, quality: int = 80) -> str:
    """uint8 [H, W, 3] as the data URI of a JPEG, which says nothing but its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=picture.size < 50_000)
    return data_uri("image/jpeg", buffer.getvalue())
