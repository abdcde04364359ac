"""CelebA's partition file: which image belongs to train, valid and test.

The file is told by its content, not by its name: CelebA's own lines, ``000001.jpg 0``, or a table with commas,
semicolons or tabs, as the Kaggle mirror and spreadsheets write it.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from facegen.data.caps import require_few
from facegen.data.dataset import SPLITS
from facegen.data.decode import suffixes
from facegen.data.litter import is_litter
from facegen.data.text import text_of
from facegen.errors import InputError
from facegen.file_kinds import HEAD, TEXT, kind_of
from facegen.files import read_regular

#: CelebA's file and Kaggle's, and the names that browsers, file managers and Windows' hidden endings make of them.
_FILE_NAME = re.compile(
    r"list_eval_partition(?:[ _-]*(?:copy|\(\d+\)|\d+))*(?:\.(?:txt|csv|tsv))*(?:\.(?:zip|gz))?",
    re.IGNORECASE | re.ASCII,
)
_REMEDY = "It should be CelebA's list_eval_partition.txt."
_CODES = {f"{code}{fraction}": split for code, split in enumerate(SPLITS) for fraction in ("", ".0")}
#: The same in words, which other programs write, in lower case.
_CODES |= dict.fromkeys(("train", "training"), "train")
_CODES |= dict.fromkeys(("valid", "validation", "val", "dev"), "valid")
_CODES |= dict.fromkeys(("test", "testing"), "test")
#: What tables call the column of splits, and that of names.
_SPLIT_HEADS = frozenset({"partition", "eval_partition", "split"})
_NAME_HEADS = frozenset({"image_id", "image_name", "image", "file_name", "filename", "file", "name"})
#: CelebA's has 2.6 million bytes.
MOST_BYTES = 100_000_000
#: Of the folders that an image lies in so many tell one name from another.
_FOLDERS = 4
#: What :meth:`str.splitlines` takes for an end of a line, besides \r and \n.
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_LINE = re.compile(f"[^\r\n{_OTHER_ENDS}]+")
#: Lines that are looked at to tell what stands between the columns.
_SAMPLE = 50

_Splitter = Callable[[str], list[str]]


def is_partition_name(name: str) -> bool:
    """Whether ``name`` (relative, forward slashes) is called like CelebA's partition, or like a copy of it."""
    return _FILE_NAME.fullmatch(name.rpartition("/")[2]) is not None and not is_litter(name)


@dataclass(frozen=True)
class Matched:
    """What a partition says of some images.

    Attributes:
        splits: of each image, ``"train"``, ``"valid"`` or ``"test"``; None where the partition does not name it.
        unused: how many names of the partition are none of these images.
        again: how many of the images have a name that an earlier one has, in another folder or format.
    """

    splits: list[str | None]
    unused: int
    again: int = 0

    @property
    def known(self) -> int:
        """How many of the images the partition names."""
        return sum(split is not None for split in self.splits)

    @property
    def fits(self) -> bool:
        """Whether the partition is of these images: it names at least half of them."""
        return 0 < len(self.splits) <= 2 * self.known


@dataclass(frozen=True)
class Partition:
    """A partition that was read.

    Attributes:
        label: where from, for people: a path, or a member and its archive.
        splits: split of each name, as the file writes the names.
        sha256: of the file's bytes.
    """

    label: str
    splits: dict[str, str]
    sha256: str
    _loose: dict[str, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            for key in _loose_keys(name):
                known = self._loose.setdefault(key, name)
                # Of two names that only differ in folder, suffix or case the key tells neither, unless they agree.
                if known is not None and self.splits[known] != split:
                    self._loose[key] = None

    def _named(self, image: str) -> str | None:
        """The partition's name of an image: its path or the end of it, else without suffix and whatever the case."""
        image = _plain(image)
        exact = next((tail for tail in _tails(image) if tail in self.splits), None)
        return exact or next((name for key in _loose_keys(image) if (name := self._loose.get(key))), None)

    def match(self, images: Sequence[str]) -> Matched:
        """Look up images by file name; ``000001.png``, a copy in another format, is ``000001.jpg``."""
        named = [self._named(image) for image in images]
        splits = [None if name is None else self.splits[name] for name in named]
        used = set(named) - {None}
        return Matched(splits, len(self.splits) - len(used), len(named) - named.count(None) - len(used))


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").lstrip("/")


def _tails(name: str) -> Iterator[str]:
    """``a/b/c.jpg``, ``b/c.jpg``, ``c.jpg``; of many folders the last few, for all tails of a long path are long."""
    yield name
    near = name.rsplit("/", _FOLDERS + 1)
    for first in range(1, len(near)):
        yield "/".join(near[first:])


def _loose_keys(name: str) -> Iterator[str]:
    """The same in one case, without the suffix; without both of ``000001.jpg.png``, as scripts call copies."""
    name = name.casefold()
    while (stem := name.rpartition(".")[0]) and name[len(stem) :] in suffixes():
        name = stem
    return _tails(name)


def read_partition(path: Path) -> Partition:
    """Read a partition file; InputError when it cannot be read, and as :func:`parse_partition`."""
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as problem:
        raise InputError(f"Cannot read the partition {path}: {problem.strerror}.", _REMEDY) from problem
    return parse_partition(data, str(path))


def parse_partition(data: bytes, label: str) -> Partition:
    """Read ``000001.jpg 0`` lines, or a table with such columns, with or without a header and an index column.

    0 is train, 1 valid, 2 test; these words are taken too, and ``val``, ``validation`` and the like. The text is UTF-8
    or UTF-16. InputError names the line that says something else, and a name that is put into two splits.
    """
    text = text_of(data)
    if text is None:
        raise _no_partition(data, label, f"The partition {label} is not a text file in UTF-8 or UTF-16.")
    sample = [line for _, line in islice(_lines(text, label), _SAMPLE)]
    split_line = _splitter(sample)
    columns: _Columns | None = None
    partition: dict[str, str] = {}
    for at, (place, line) in enumerate(_lines(text, label)):
        cells = split_line(line)
        if at == 0 and _is_header(cells):
            columns = _named_columns(cells, split_line(sample[1])) if len(sample) > 1 else None
            continue
        columns = columns or _columns(cells)
        if columns is None or not columns.fit(cells):
            said = f"is {line.strip()[:60]!r}, not an image name and 0, 1 or 2."
            problem = f"Line {_number(text, place)} of the partition {label} {said}"
            raise _no_partition(data, label, problem) if at == 0 else InputError(problem, _REMEDY)
        name, split = _plain(cells[columns.name]), _CODES[cells[columns.split].casefold()]
        if partition.setdefault(name, split) != split:
            raise InputError(
                f"The partition {label} puts {name!r} into {partition[name]} and, in line {_number(text, place)}, "
                f"into {split}.",
                "Keep one of its lines.",
            )
    if not partition:
        raise InputError(f"The partition {label} is empty.", _REMEDY)
    return Partition(label, partition, hashlib.sha256(data).hexdigest())


def _lines(text: str, label: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, each with where it begins. InputError where there are far too many."""
    for count, line in enumerate(_LINE.finditer(text), 1):
        require_few(f"The partition {label}", count)
        if line[0].strip():
            yield line.start(), line[0]


def _number(text: str, place: int) -> int:
    """The number, from 1, of the line that begins at ``place``."""
    ends = sum(text.count(end, 0, place) for end in ("\r", "\n", *_OTHER_ENDS))
    return 1 + ends - text.count("\r\n", 0, place)


def _no_partition(data: bytes, label: str, problem: str) -> InputError:
    """What the file is instead, where its first bytes tell; else the problem."""
    kind = kind_of(data[:HEAD])
    if kind is None or kind is TEXT:
        return InputError(problem, _REMEDY)
    remedy = "Unpack it, and take the file in it." if kind.family == "archive" else _REMEDY
    return InputError(f"The partition {label} is {kind.name}, not a text file.", remedy)


@dataclass(frozen=True)
class _Columns:
    """How many columns a table has, and which of them hold the names and the splits."""

    count: int
    name: int
    split: int

    def fit(self, cells: list[str]) -> bool:
        return len(cells) == self.count and cells[self.name] != "" and cells[self.split].casefold() in _CODES


def _splitter(lines: Sequence[str]) -> _Splitter:
    """What brings most lines into cells of which one is a split; white space where nothing else does."""
    ways: list[_Splitter] = [*(_by_delimiter(delimiter) for delimiter in ",;\t"), _by_white_space]
    votes = [
        sum(len(cells) > 1 and not _CODES.keys().isdisjoint(map(str.casefold, cells)) for cells in map(way, lines))
        for way in ways
    ]
    return ways[votes.index(max(votes))] if any(votes) else _by_white_space


def _by_delimiter(delimiter: str) -> _Splitter:
    def cells(line: str) -> list[str]:
        quoted = '"' in line
        try:
            rows = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
            found = next(rows) if quoted else line.split(delimiter)
        except csv.Error:  # a cell of more than 131,072 letters is no name
            return [line]
        found = [cell.strip() for cell in found]
        while len(found) > 2 and not found[-1]:  # spreadsheets end rows with empty cells
            found.pop()
        return found

    return cells


def _by_white_space(line: str) -> list[str]:
    """Two cells: names may have spaces."""
    return [cell.strip().strip('"') for cell in line.rsplit(None, 1)]


def _is_header(cells: list[str]) -> bool:
    """Whether a first line names the columns; pandas leaves the name of its index empty."""
    return len(cells) > 1 and (not cells[0] or any(cell.casefold() in _SPLIT_HEADS for cell in cells))


def _named_columns(header: list[str], first: list[str]) -> _Columns | None:
    """The columns by their heads, and by the first line below them where the heads do not tell."""
    heads = [head.casefold() for head in header]
    split = next((at for at, head in enumerate(heads) if head in _SPLIT_HEADS), None)
    if split is None or len(first) != len(heads):
        return None
    others = [at for at in range(len(heads)) if at != split]
    named = [at for at in others if heads[at] in _NAME_HEADS]
    texts = [at for at in others if not first[at].isdecimal()]
    return _Columns(len(heads), (named or texts or others[-1:])[0], split)


def _columns(cells: list[str]) -> _Columns | None:
    """The columns of a table without heads: a name and its split, after a row number perhaps."""
    if len(cells) == 3 and cells[0].isdecimal():
        return _Columns(3, 1, 2)
    return _Columns(2, 0, 1) if len(cells) == 2 else None
