"""Images in parquet tables, as Hugging Face keeps CelebA: one file or a folder of shards, read as a stream."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from facegen import console
from facegen.data.archives import BytesMember
from facegen.data.arrays import row_names
from facegen.data.caps import require_few, require_images, require_proportion
from facegen.data.image_names import natural_key
from facegen.data.listing import UnreadableMember
from facegen.data.passed_over import PassedOver
from facegen.errors import EnvironmentProblem, InputError
from facegen.file_kinds import DOWNLOAD_AGAIN, PARQUET, kind_of_file
from facegen.files import open_regular, sha256_file
from facegen.printable import printable

#: Number of rows in memory at a time. A row group may be the whole table.
_ROWS = 32
#: The split that each word in a shard's name means. The words are those of Hugging Face's ``datasets``.
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"(?P<stem>.*?)-(?P<number>\d{5})-of-(?P<total>\d{5})")


class _Row(NamedTuple):
    """The place of an image: the numbers of its shard, of its row group and of its row, each from 0."""

    shard: int
    group: int
    row: int


@dataclass(frozen=True)
class _Column:
    """A column of images: encoded bytes, or a struct with a field ``bytes`` and perhaps a field ``path``."""

    name: str
    in_struct: bool
    has_path: bool


class Parquet:
    """Images in the rows of parquet files.

    ``shards`` are the files, in order. ``splits`` gives the split of each name, read from the name of its shard, such
    as ``train-00000-of-00019.parquet``; None if some shard's name says no split.
    """

    kind = "parquet"

    def __init__(self, path: Path, shards: Sequence[Path]) -> None:
        """List the images in the rows of ``shards``.

        Args:
            path: The folder or file that the user named.
            shards: The parquet files there.

        Raises:
            InputError: A file is damaged, or has no column of images or several.
            EnvironmentProblem: pyarrow is not installed.
        """
        self.path = path
        self.shards = sorted(shards, key=lambda shard: natural_key(str(shard)))
        self._columns: list[_Column] = []
        rows: list[_Row] = []
        paths: list[str | None] = []
        said: list[str | None] = []
        for number, shard in enumerate(self.shards):
            with self._open(shard) as table:
                column = _image_column(table.schema_arrow, shard)
                self._columns.append(column)
                self._require_held(table.metadata, shard)
                for group in range(table.num_row_groups):
                    rows += [_Row(number, group, row) for row in range(table.metadata.row_group(group).num_rows)]
                paths += _paths(table, column) if column.has_path else [None] * table.metadata.num_rows
            said += [_split(self._relative(shard))] * (len(rows) - len(said))
        names = _names(paths)
        if not names:
            raise InputError(f"No image found in {path}: its table has no rows.")
        self._rows = dict(zip(names, rows, strict=True))
        self.splits = dict(zip(names, map(str, said), strict=True)) if None not in said else None
        self.names = sorted(names, key=natural_key)
        self.passed_over = PassedOver()
        self._tell(Counter(said))

    def _require_held(self, metadata: Any, shard: Path) -> None:
        """Raise InputError if a shard claims far more rows or bytes than it has."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        # A dictionary of values can stand for any number of rows, and each row is an image to decode.
        rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
        require_few(str(shard), rows)
        require_images(str(shard), rows, shard.stat().st_size)
        # The sizes that columns claim are not read: for a damaged column, pyarrow kills the process.
        require_proportion(str(shard), sum(group.total_byte_size for group in groups), shard.stat().st_size)

    def _tell(self, splits: Counter[str | None]) -> None:
        columns = ", ".join(sorted({column.name for column in self._columns}))
        files = f"{len(self.shards)} parquet files" if len(self.shards) > 1 else "a parquet file"
        by_split = ", ".join(f"{count:,} {split}" for split, count in splits.items()) if self.splits else "no splits"
        console.info(f"{self.path}: {len(self.names):,} images ({by_split}) in {files}, column {columns}.")
        self.passed_over.incomplete += _missing_shards(self.shards)

    def _relative(self, shard: Path) -> PurePosixPath:
        return PurePosixPath(shard.name if shard == self.path else shard.relative_to(self.path).as_posix())

    @contextmanager
    def _open(self, shard: Path) -> Iterator[Any]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as problem:
            raise EnvironmentProblem(
                f"Reading {self.path} needs pyarrow.", "Install it: pip install 'facegen[parquet]'"
            ) from problem
        try:
            # Without pre_buffer and with a small buffer, pyarrow reads a column page by page.
            with (
                open_regular(shard) as file,
                pyarrow.parquet.ParquetFile(
                    file, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
                ) as table,
            ):
                yield table
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as problem:
            kind = kind_of_file(shard)
            if kind is not None and kind is not PARQUET:
                raise InputError(f"{shard} is {kind.name}, not a parquet file.", kind.remedy) from problem
            words = str(problem).strip().splitlines()[0][:200].rstrip(".") if str(problem).strip() else "damaged"
            raise InputError(f"{shard} is a truncated or damaged parquet file: {words}.", DOWNLOAD_AGAIN) from problem

    @cached_property
    def identity(self) -> str:
        if self.shards == [self.path]:
            return sha256_file(self.path)
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{self._relative(shard)}\0{sha256_file(shard)}\0".encode())
        return digest.hexdigest()

    def members(self, names: Sequence[str]) -> Iterator[BytesMember | UnreadableMember]:
        asked = [(name, self._rows[name]) for name in names]
        # A row group can only be read from its beginning, so names that jump between groups are read in row order
        # first.
        jumps = sum(before[:2] != after[:2] or before > after for (_, before), (_, after) in pairwise(asked))
        if jumps < 2 * len({row[:2] for _, row in asked}):
            yield from self._stream(asked)
            return
        with tempfile.TemporaryFile() as spool:
            places: dict[str, tuple[int, int] | UnreadableMember] = {}
            for member in self._stream(sorted(asked, key=lambda pair: pair[1])):
                if isinstance(member, UnreadableMember):
                    places[member.name] = member
                    continue
                places[member.name] = (spool.tell(), len(member.data))
                try:
                    spool.write(member.data)
                except OSError as problem:
                    raise EnvironmentProblem(
                        f"There is not enough space in {tempfile.gettempdir()} to sort the images of {self.path}: "
                        f"{problem.strerror}.",
                        "Free some space there, or set TMPDIR to a folder on another disk.",
                    ) from problem
            for name in names:
                place = places[name]
                if isinstance(place, UnreadableMember):
                    yield place
                    continue
                spool.seek(place[0])
                yield BytesMember(name, spool.read(place[1]))

    def _stream(self, asked: Sequence[tuple[str, _Row]]) -> Iterator[BytesMember | UnreadableMember]:
        """Yield the members at these rows. A step back, or to another row group, reopens that group."""
        at = 0
        while at < len(asked):
            end = at + 1
            while end < len(asked) and asked[end][1][:2] == asked[at][1][:2] and asked[end][1] > asked[end - 1][1]:
                end += 1
            yield from self._stream_group(asked[at:end])
            at = end

    def _stream_group(self, asked: Sequence[tuple[str, _Row]]) -> Iterator[BytesMember | UnreadableMember]:
        """Yield the members at these rising rows of one row group."""
        shard, group, _ = asked[0][1]
        column, begin, at = self._columns[shard], 0, 0
        with self._open(self.shards[shard]) as table:
            selected = [f"{column.name}.bytes" if column.in_struct else column.name]
            for batch in table.iter_batches(_ROWS, row_groups=[group], columns=selected, use_threads=False):
                cells = batch.column(0).field(0) if column.in_struct else batch.column(0)
                while at < len(asked) and asked[at][1].row < begin + len(cells):
                    name, row = asked[at]
                    data = cells[row.row - begin].as_py()
                    yield (
                        BytesMember(name, data) if data else UnreadableMember(name, "the table has no bytes in its row")
                    )
                    at += 1
                begin += len(cells)
                if at == len(asked):
                    return


def _image_column(schema: Any, shard: Path) -> _Column:
    """Return the column of encoded images.

    Raises:
        InputError: There is no such column, or there are several and none is called ``image``.
    """
    import pyarrow

    found: dict[str, _Column] = {}
    for field in schema:
        kind = field.type
        if pyarrow.types.is_struct(kind):
            inner = {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
            if "bytes" in inner and _is_binary(inner["bytes"]):
                has_path = "path" in inner and _is_text(inner["path"])
                found[field.name] = _Column(field.name, in_struct=True, has_path=has_path)
        elif _is_binary(kind):
            found[field.name] = _Column(field.name, in_struct=False, has_path=False)
    if len(found) > 1 and "image" not in found:
        raise InputError(
            f"{shard} has several columns that may be images: {', '.join(found)}.",
            "Rename the one you mean to image, or save it to its own file.",
        )
    if not found:
        columns = ", ".join(f"{field.name} ({field.type})" for field in list(schema)[:8])
        raise InputError(
            f"The parquet file {shard} has no column of encoded images (bytes, or a struct of bytes and path). "
            f"It has {columns}.",
            "Save the images as PNG or JPEG bytes in a column called image.",
        )
    return found.get("image") or next(iter(found.values()))


def _is_binary(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _paths(table: Any, column: _Column) -> Iterator[str | None]:
    """Yield the path that each row gives its image. Only this part of the column is read."""
    for batch in table.iter_batches(4096, columns=[f"{column.name}.path"], use_threads=False):
        yield from batch.column(0).field(0).to_pylist()


def _names(paths: Sequence[str | None]) -> list[str]:
    """Return the paths as names if every row has one and no two are the same; otherwise the row numbers."""
    names = [printable((path or "").replace("\\", "/").lstrip("/")) for path in paths]
    return names if all(names) and len(set(names)) == len(names) else row_names(len(paths))


def _split(shard: PurePosixPath) -> str | None:
    """Return the split that a word in a shard's name, or else in a folder's name, says; None for no word or several."""
    for name in (shard.stem, *shard.parts[-2::-1]):
        said = {_SPLITS[word] for word in re.split(r"[-._ \d]+", name.lower()) if word in _SPLITS}
        if said:
            return said.pop() if len(said) == 1 else None
    return None


def _missing_shards(shards: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence for each incomplete series ``stem-00000-of-00019``."""
    there: dict[tuple[Path, str, int], set[int]] = {}
    for shard in shards:
        match = _SHARD.match(shard.name)
        if match and isinstance(shard, Path):  # A file inside an archive has no neighbours.
            series = (shard.parent, match["stem"], int(match["total"]))
            there.setdefault(series, set()).add(int(match["number"]))
    for (folder, stem, total), numbers in there.items():
        missing = sorted(set(range(total)) - numbers)
        if missing and total < 100_000:
            first = f"{stem}-{missing[0]:05d}-of-{total:05d}"
            beside = "lies beside it" if any(folder.glob(f"{first}*")) else "is missing"
            more = f", and {len(missing) - 1:,} more of {total:,}" if len(missing) > 1 else ""
            yield f"Only {len(numbers):,} of the {total:,} shards of {stem} are read: {first} {beside}{more}."
