"""The pictures on the leaderboard page: contact sheets, and the pairs of images that flags give as evidence."""

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
#: Returns known images, uint8 [S, S, 3], by name. The arguments are a flag's code and the names in its evidence.
#: Images that cannot be shown are left out.
PicturesOf = Callable[[str, Sequence[str]], Mapping[str, Picture]]

#: Columns and rows of a contact sheet, and the number of images in the strip of a row.
_SHEET_COLUMNS, _SHEET_ROWS, _STRIP = 8, 6, 4
#: Maximum number of pairs with pictures on a page and in a row. A pair takes about 4 kB, so 5 MB at most. Further pairs
#: are named in words.
_ALL_PAIRS, _ROW_PAIRS = 1200, 40
#: Maximum number of flags that a row shows in full. If 300 students hand in the same images, each row has 299 flags.
MOST_FLAGS = 24


@dataclass(frozen=True)
class Pair:
    """A pair of images that look alike, from the evidence of a flag.

    ``image`` and ``match`` are their names. ``left`` and ``right`` are their pictures as data URIs, or "" if there is
    no picture.
    """

    image: str
    match: str
    distance: int
    mirrored: bool
    left: str = ""
    right: str = ""


@dataclass(frozen=True)
class ShownFlag:
    """A flag with the pairs of its evidence: ``pictured`` have pictures, ``listed`` are only named."""

    flag: Flag
    pictured: tuple[Pair, ...]
    listed: tuple[Pair, ...]


@dataclass(frozen=True)
class ShownRow:
    """The pictures and flags of a row.

    Attributes:
        strip: A few of its images side by side, as a data URI; "" if its pictures were not kept.
        sheet: Its contact sheet as a data URI; "" if there is none.
        flags: The flags that are shown in full, at most 24.
        further: The names of the other flags.
    """

    strip: str
    sheet: str
    flags: tuple[ShownFlag, ...]
    further: tuple[str, ...]


class Album:
    """The pictures of a class.

    Several pages can share an album, so that the contact sheet of a submission is made only once.

    Args:
        pictures_of: Returns pictures of known images. Without it, the known image of a pair is left out.
    """

    def __init__(self, pictures_of: PicturesOf | None = None) -> None:
        self._pictures_of = pictures_of
        self._sheets: dict[bytes, tuple[str, str]] = {}

    def shown(self, rows: Sequence[LeaderboardRow]) -> list[ShownRow]:
        """Return the contact sheets and the pictured evidence of ``rows``, which must be all rows of a page.

        If a flag says that two of the rows share images, each row shows its own image of a pair.
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
        """Return single images as data URIs, by their owner and name."""
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
        """Return the strip and the contact sheet of a row."""
        graded = row.outcome.graded
        if graded is None:
            return "", ""
        return self._sheets.get(graded.pictures, ("", graded.sheet_uri if graded.sheet else ""))


class _Decoded:
    """All pictures of a submission, decoded."""

    def __init__(self, graded: GradedSubmission) -> None:
        with Image.open(io.BytesIO(graded.pictures), formats=["JPEG"]) as opened:
            self._whole = np.asarray(opened)
        self._count = len(graded.names)
        self._boxes = picture_boxes(self._count, self._whole.shape[1] // min(self._count, PICTURE_COLUMNS))

    def some(self, rows: Sequence[int]) -> Picture:
        """Return the pictures of these rows, uint8 [len(rows), S, S, 3]."""
        boxes = (self._boxes[row] for row in rows)
        return np.stack([self._whole[upper:lower, left:right] for left, upper, right, lower in boxes])

    def strip(self) -> str:
        places = [self._count * i // _STRIP for i in range(min(self._count, _STRIP))]
        return jpeg_uri(contact_sheet(self.some(places), columns=len(places), gap=0), 70)

    def sheet(self) -> str:
        places = np.linspace(0, self._count - 1, min(self._count, _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
        return jpeg_uri(contact_sheet(self.some(list(places)), columns=_SHEET_COLUMNS, gap=0), 75)


class _Owners:
    """The owners of the matches of flags: the position of a row, or the code of the flag for known images."""

    def __init__(self, rows: Sequence[LeaderboardRow]) -> None:
        self._places = {row.outcome.student_number: at for at, row in reversed(list(enumerate(rows)))}

    def of(self, flag: Flag, at: int) -> int | str:
        """Return the owner of the matches of a flag. The flag belongs to the row at the position ``at``."""
        code, _, number = flag.name.partition(":")
        if number:
            return self._places.get(number, code)
        return at if code == DUPLICATE_IMAGES.code else code


def _shown(flag: Flag, count: int, at: int, owner: int | str, cut: Mapping[tuple[int | str, str], str]) -> ShownFlag:
    """Return a flag of the row at ``at``. Its first ``count`` examples get pictures if these exist."""
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
    """Return how many pairs of each flag get pictures, ``most`` in all.

    The first pair of every flag comes first, then the second pair of every flag, and so on.
    """
    counts = [0] * len(flags)
    while sum(counts) < most:
        open_ones = [at for at, flag in enumerate(flags) if counts[at] < len(_examples(flag))]
        if not open_ones:
            break
        for at in open_ones[: most - sum(counts)]:
            counts[at] += 1
    return counts


def jpeg_uri(picture: Picture, quality: int = 80) -> str:
    """Encode uint8 [H, W, 3] as a JPEG and return its data URI. The JPEG has no metadata."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=picture.size < 50_000)
    return data_uri("image/jpeg", buffer.getvalue())
