"""Read CelebA's partition file, which assigns each image to train, valid or test.

The file is recognised by its content, not by its name. It has CelebA's own lines, ``000001.jpg 0``, or it is a table
with commas, semicolons or tabs, as the Kaggle mirror and spreadsheets write it.
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

#: The names of CelebA's file and Kaggle's, and the copies that browsers, file managers and hidden endings make of them.
_FILE_NAME = re.compile(
    r"list_eval_partition(?:[ _-]*(?:copy|\(\d+\)|\d+))*(?:\.(?:txt|csv|tsv))*(?:\.(?:zip|gz))?",
    re.IGNORECASE | re.ASCII,
)
_REMEDY = "Name CelebA's list_eval_partition.txt, or a table of image names and 0, 1 or 2."
_CODES = {f"{code}{fraction}": split for code, split in enumerate(SPLITS) for fraction in ("", ".0")}
#: The same as words, in lower case, which other programs write.
_CODES |= dict.fromkeys(("train", "training"), "train")
_CODES |= dict.fromkeys(("valid", "validation", "val", "dev"), "valid")
_CODES |= dict.fromkeys(("test", "testing"), "test")
#: Usual headings of the column of splits, and of the column of names.
_SPLIT_HEADS = frozenset({"partition", "eval_partition", "split"})
_NAME_HEADS = frozenset({"image_id", "image_name", "image", "file_name", "filename", "file", "name"})
#: Maximum size of a partition file, in bytes. CelebA's has 2.6 million.
MOST_BYTES = 100_000_000
#: Number of folders above an image that tell it from others of the same name.
_FOLDERS = 4
#: Characters that :meth:`str.splitlines` takes for the end of a line, besides \r and \n.
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_LINE = re.compile(f"[^\r\n{_OTHER_ENDS}]+")
#: Number of lines that are examined to find the delimiter.
_SAMPLE = 50

_Splitter = Callable[[str], list[str]]


def is_partition_name(name: str) -> bool:
    """Return whether ``name`` (relative, with forward slashes) is that of CelebA's partition file or of a copy."""
    return _FILE_NAME.fullmatch(name.rpartition("/")[2]) is not None and not is_litter(name)


@dataclass(frozen=True)
class Matched:
    """The splits of given images according to a partition.

    Attributes:
        splits: The split of each image: ``"train"``, ``"valid"`` or ``"test"``; None if the partition does not name it.
        unused: Number of names in the partition that match none of the images.
        again: Number of images whose name an earlier image has too, in another folder or format.
    """

    splits: list[str | None]
    unused: int
    again: int = 0

    @property
    def known(self) -> int:
        """Number of images that the partition names."""
        return sum(split is not None for split in self.splits)

    @property
    def fits(self) -> bool:
        """Whether the partition belongs to these images: it names at least half of them."""
        return 0 < len(self.splits) <= 2 * self.known


@dataclass(frozen=True)
class Partition:
    """A partition file that was read.

    Attributes:
        label: Where it was read from, for people: a path, or a member and its archive.
        splits: The split of each name, with the names as in the file.
        sha256: The hash of the file's bytes.
    """

    label: str
    splits: dict[str, str]
    sha256: str
    _loose: dict[str, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            for key in _loose_keys(name):
                known = self._loose.setdefault(key, name)
                # Names that differ only in folder, suffix or case share a key. It is used only if their splits agree.
                if known is not None and self.splits[known] != split:
                    self._loose[key] = None

    def _named(self, image: str) -> str | None:
        """Return the partition's name for an image: by the end of its path, or else ignoring suffix and case."""
        image = _plain(image)
        exact = next((tail for tail in _tails(image) if tail in self.splits), None)
        return exact or next((name for key in _loose_keys(image) if (name := self._loose.get(key))), None)

    def match(self, images: Sequence[str]) -> Matched:
        """Look up images by file name. ``000001.png``, a copy in another format, matches ``000001.jpg``."""
        named = [self._named(image) for image in images]
        splits = [None if name is None else self.splits[name] for name in named]
        used = set(named) - {None}
        return Matched(splits, len(self.splits) - len(used), len(named) - named.count(None) - len(used))


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").lstrip("/")


def _tails(name: str) -> Iterator[str]:
    """Yield ``a/b/c.jpg``, ``b/c.jpg``, ``c.jpg``. Only the last few folders count, to bound the work on long paths."""
    yield name
    near = name.rsplit("/", _FOLDERS + 1)
    for first in range(1, len(near)):
        yield "/".join(near[first:])


def _loose_keys(name: str) -> Iterator[str]:
    """Yield the tails without suffix and in one case.

    ``000001.jpg.png``, as scripts name copies, loses both suffixes.
    """
    name = name.casefold()
    while (stem := name.rpartition(".")[0]) and name[len(stem) :] in suffixes():
        name = stem
    return _tails(name)


def read_partition(path: Path) -> Partition:
    """Read a partition file.

    Raises:
        InputError: The file cannot be read, or :func:`parse_partition` refuses it.
    """
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as problem:
        raise InputError(f"Cannot read the partition {path}: {problem.strerror}.", _REMEDY) from problem
    return parse_partition(data, str(path))


def parse_partition(data: bytes, label: str) -> Partition:
    """Parse ``000001.jpg 0`` lines, or a table with such columns, with or without a header and an index column.

    0 means train, 1 valid and 2 test. The words themselves are accepted too, and so are ``val``, ``validation`` and the
    like. The text is UTF-8 or UTF-16.

    Raises:
        InputError: A line says something else, or a name is in two splits. The message names the line.
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
                f"The partition {label} puts {name!r} into the {partition[name]} split and, in line "
                f"{_number(text, place)}, into the {split} split.",
                "Delete one of the two lines.",
            )
    if not partition:
        raise InputError(f"The partition {label} is empty.", _REMEDY)
    return Partition(label, partition, hashlib.sha256(data).hexdigest())


def _lines(text: str, label: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, each with its offset. Raise InputError if there are far too many."""
    for count, line in enumerate(_LINE.finditer(text), 1):
        require_few(f"The partition {label}", count)
        if line[0].strip():
            yield line.start(), line[0]


def _number(text: str, place: int) -> int:
    """Return the number, from 1, of the line that begins at ``place``."""
    ends = sum(text.count(end, 0, place) for end in ("\r", "\n", *_OTHER_ENDS))
    return 1 + ends - text.count("\r\n", 0, place)


def _no_partition(data: bytes, label: str, problem: str) -> InputError:
    """Return an error that says what the file is instead, if its first bytes tell, or else the problem."""
    kind = kind_of(data[:HEAD])
    if kind is None or kind is TEXT:
        return InputError(problem, _REMEDY)
    remedy = "Unpack it, and name the file in it." if kind.family == "archive" else _REMEDY
    return InputError(f"The partition {label} is {kind.name}, not a text file.", remedy)


@dataclass(frozen=True)
class _Columns:
    """The number of columns of a table, and which of them hold the names and the splits."""

    count: int
    name: int
    split: int

    def fit(self, cells: list[str]) -> bool:
        return len(cells) == self.count and cells[self.name] != "" and cells[self.split].casefold() in _CODES


def _splitter(lines: Sequence[str]) -> _Splitter:
    """Return the function that divides most lines into cells with a split among them; by default at white space."""
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
        except csv.Error:  # A cell of more than 131,072 characters, which no name has.
            return [line]
        found = [cell.strip() for cell in found]
        while len(found) > 2 and not found[-1]:  # Spreadsheets end rows with empty cells.
            found.pop()
        return found

    return cells


def _by_white_space(line: str) -> list[str]:
    """Divide a line at its last white space, because names may contain spaces."""
    return [cell.strip().strip('"') for cell in line.rsplit(None, 1)]


def _is_header(cells: list[str]) -> bool:
    """Return whether a first line names the columns. pandas leaves the heading of its index empty."""
    return len(cells) > 1 and (not cells[0] or any(cell.casefold() in _SPLIT_HEADS for cell in cells))


def _named_columns(header: list[str], first: list[str]) -> _Columns | None:
    """Find the columns by their headings, and by the first line below them if the headings do not tell."""
    heads = [head.casefold() for head in header]
    split = next((at for at, head in enumerate(heads) if head in _SPLIT_HEADS), None)
    if split is None or len(first) != len(heads):
        return None
    others = [at for at in range(len(heads)) if at != split]
    named = [at for at in others if heads[at] in _NAME_HEADS]
    texts = [at for at in others if not first[at].isdecimal()]
    return _Columns(len(heads), (named or texts or others[-1:])[0], split)


def _columns(cells: list[str]) -> _Columns | None:
    """Find the columns of a table without headings: a name and its split, perhaps behind a row number."""
    if len(cells) == 3 and cells[0].isdecimal():
        return _Columns(3, 1, 2)
    return _Columns(2, 0, 1) if len(cells) == 2 else None
