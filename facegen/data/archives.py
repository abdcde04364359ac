"""Images in zip and tar archives, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import bz2
import io
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple, cast

from facegen.data.caps import (
    FREE_MEMBER,
    LARGEST_IMAGE,
    LONGEST_HEADER,
    RATIO,
    is_out_of_proportion,
    require_few,
    require_name,
    require_proportion,
)
from facegen.data.compressed import Decompressed, TrailingDataError
from facegen.data.damage import require_own_offsets, tar_damage_told, zip_damage_told
from facegen.data.decode import Unreadable
from facegen.data.image_names import is_image_name, natural_key
from facegen.data.listing import Listing, UnreadableMember
from facegen.data.partition import is_partition_name
from facegen.data.passed_over import PassedOver
from facegen.errors import EnvironmentProblem, InputError
from facegen.file_kinds import HEAD
from facegen.files import open_regular, sha256_file, writing_told
from facegen.plain_zip import PlainZip
from facegen.printable import printable

#: Attributes that a tar has of all its entries (pax global headers); git archive writes one.
_MOST_GLOBAL = 100
#: A link's target is no longer.
_LONGEST_TARGET = 4096


@dataclass(frozen=True, slots=True)
class ZipMember:
    """Where a member lies in its zip, so that a worker reads it without parsing the directory of 200,000 others."""

    name: str
    archive: Path
    offset: int
    method: int
    compressed_size: int
    size: int
    crc: int

    def read(self) -> bytes:
        if self.size > LARGEST_IMAGE:
            raise Unreadable(f"{self.size:,} bytes, more than an image has")
        if is_out_of_proportion(self.size, self.compressed_size, FREE_MEMBER):
            raise Unreadable(
                f"{self.size:,} bytes packed in {self.compressed_size:,}, less than a {RATIO}th, which looks like a "
                "decompression bomb"
            )
        try:
            with open_regular(self.archive) as file:
                file.seek(self.offset)
                header = file.read(30)
                if len(header) < 30 or header[:4] != b"PK\3\4":
                    raise Unreadable("the zip is damaged where this file begins")
                # The local header repeats name and extra field, of lengths that may differ from the directory's.
                file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)
                packed = file.read(self.compressed_size)
        except OSError as problem:  # of the zip, and so of all that is in it
            raise EnvironmentProblem(
                f"Cannot read {self.archive}: {problem.strerror or problem}.", "Run it again when it can be read."
            ) from problem
        try:
            data = self._decompress(packed)
        except (OSError, zlib.error) as problem:
            raise Unreadable(f"cannot be read from the zip ({problem})") from problem
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise Unreadable("damaged in the zip (its CRC-32 does not match)")
        return data

    def _decompress(self, data: bytes) -> bytes:
        if self.method == zipfile.ZIP_STORED:
            return data
        if self.method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
        return bz2.BZ2Decompressor().decompress(data, self.size + 1)


class Zip:
    """Images in a zip, read in place. ``partitions``: CelebA's partition files in it, which ``members`` gives too."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over = PassedOver()
        self._partitions: dict[str, ZipMember] = {}
        listing = Listing[ZipMember](self.passed_over)
        with zip_damage_told(path):
            require_own_offsets(path)
            with open_regular(path) as file, PlainZip(file) as archive:
                entries = archive.infolist()
                require_few(str(path), len(entries))
                self._check_start(min((entry.header_offset for entry in entries), default=0))
                self._check_overlaps(entries)
                for entry in entries:
                    self._add(entry, archive, listing)
        self._members = listing.images()
        _require_proportion(path, self._members.values())
        self.names = sorted(self._members, key=natural_key)
        self.partitions = list(self._partitions)

    def _add(self, entry: zipfile.ZipInfo, archive: zipfile.ZipFile, listing: Listing[ZipMember]) -> None:
        name = _name_of(entry)
        require_name(self.path, name)
        if name.endswith("/"):
            return
        kind = stat.S_IFMT(entry.external_attr >> 16)  # Unix's, where the zip was made there
        if kind == stat.S_IFLNK and entry.file_size <= _LONGEST_TARGET and not is_encrypted(entry):
            listing.add_link(name, archive.read(entry).decode("utf-8", "surrogateescape"))
            return
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) and not entry.file_size:
            listing.add_special(name)
            return
        if is_image_name(name):
            self._check_readable(entry)
        member = ZipMember(
            name,
            self.path,
            entry.header_offset,
            entry.compress_type,
            entry.compress_size,
            entry.file_size,
            entry.CRC,
        )
        if is_partition_name(name):
            self._check_readable(entry)
            self._partitions[name] = member
        listing.add_file(name, member, partial(_head_of, entry, archive))

    def _check_readable(self, entry: zipfile.ZipInfo) -> None:
        if is_encrypted(entry):
            raise InputError(
                f"{self.path} is encrypted ({printable(entry.filename)}).", "Make a zip without a password."
            )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            raise InputError(
                f"{self.path} compresses {printable(entry.filename)} by a method this cannot read "
                f"(number {entry.compress_type}).",
                "Make the zip with ordinary deflate compression.",
            )

    def _check_start(self, first: int) -> None:
        """InputError where a whole other zip lies before the first of the members: they are listed at its own end."""
        if not first:
            return
        with open_regular(self.path) as file:
            begins_as_zip = file.read(4) == b"PK\3\4"
            file.seek(max(0, first - _LONGEST_ZIP_END))
            before = file.read(min(first, _LONGEST_ZIP_END))
        if begins_as_zip and b"PK\5\6" in before:
            raise InputError(
                f"{self.path} is several zips in one file, and only what belongs to the last of them is listed.",
                "Take the zips that it was joined from, unpack them into one folder, and name that.",
            )

    def _check_overlaps(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        """InputError where two members share bytes: so a small zip holds one image any number of times."""
        in_order = sorted(entries, key=lambda entry: entry.header_offset)
        for entry, following in pairwise(in_order):
            # A local header has 30 bytes, and a name and an extra field that may be shorter than the directory's.
            if entry.header_offset + 30 + entry.compress_size > following.header_offset:
                raise InputError(
                    f"{self.path} is a zip whose members overlap, {printable(entry.filename)} and "
                    f"{printable(following.filename)} for two: it is damaged, or a decompression bomb.",
                    "Download or copy it again, whole, or take another.",
                )

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[ZipMember | UnreadableMember]:
        for name in names:
            member = self._partitions.get(name) or self._members[name]
            yield member if member.name == name else replace(member, name=name)


#: The record at a zip's end, with a comment of the greatest length.
_LONGEST_ZIP_END = 22 + 0xFFFF


def is_encrypted(entry: zipfile.ZipInfo) -> bool:
    return bool(entry.flag_bits & 0x1)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name with forward slashes. Where no flag says that it is UTF-8 it may be so all the same (macOS)."""
    name = entry.filename
    if not name.isascii() and not entry.flag_bits & 0x800:
        # Else it is in cp437, as the standard has it, or in a code page that nothing tells.
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/").removeprefix("./")


def _head_of(entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes:
    try:
        with archive.open(entry) as file:
            return file.read(HEAD)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error):
        return b""


def _require_proportion(path: Path, images: Iterable[ZipMember | _Place | UnreadableMember]) -> None:
    """InputError where the images of an archive, with all names that one has, are far more than it holds."""
    sizes = (
        image.size if isinstance(image, ZipMember) else image.held
        for image in images
        if not isinstance(image, UnreadableMember)
    )
    require_proportion(str(path), sum(size for size in sizes if size <= LARGEST_IMAGE), path.stat().st_size)


@dataclass(frozen=True)
class BytesMember:
    """A member already read: a compressed tar can only be read from its beginning on, by one process."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


class _Place(NamedTuple):
    """Where a member's bytes lie in a tar; of a sparse one, where each (offset, size) of them belongs."""

    offset: int
    size: int
    sparse: tuple[tuple[int, int], ...] | None

    @property
    def held(self) -> int:
        """Bytes that the tar has of it."""
        return self.size if self.sparse is None else sum(size for _, size in self.sparse)


def tar_stream(path: Path, compression: str) -> IO[bytes]:
    """The tar at ``path``, decompressed; ``compression`` is ``""``, ``"gz"``, ``"bz2"`` or ``"xz"``."""
    if not compression:
        return open_regular(path)
    return io.BufferedReader(Decompressed(path, compression), 1 << 17)


class TarHeaders:
    """The entries of a tar that begins where ``stream`` stands.

    :mod:`tarfile` reads names and attributes of any length into memory: this hands out no more than real ones have.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, LONGEST_HEADER
        self._archive = tarfile.TarFile(fileobj=cast(IO[bytes], self), encoding="utf-8", errors="surrogateescape")

    def read(self, size: int) -> bytes:
        """What :mod:`tarfile` asks for: a block, or names and attributes."""
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(
                f"an entry has more than {LONGEST_HEADER:,} bytes of names, attributes and a sparse file's map"
            )
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """The entries; between two of them ``stream`` may be used."""
        while (entry := self._next()) is not None:
            self._archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            if len(self._archive.pax_headers) > _MOST_GLOBAL:
                raise tarfile.ReadError(f"it has more than {_MOST_GLOBAL:,} attributes of all entries")
            yield entry

    def _next(self) -> tarfile.TarInfo | None:
        self._left = LONGEST_HEADER
        return self._archive.next()

    @property
    def end(self) -> int:
        """Where the block lies that ended the archive."""
        return self._archive.offset


class Tar:
    """Images in a tar, plain or compressed, or in several joined ones, streamed. ``partitions``: as in :class:`Zip`."""

    kind = "tar"

    def __init__(self, path: Path, compression: str) -> None:
        """``compression``: ``""``, ``"gz"``, ``"bz2"`` or ``"xz"``."""
        self.path = path
        self.compression = compression
        self.passed_over = PassedOver()
        self._partitions: dict[str, _Place] = {}
        listing = Listing[_Place](self.passed_over)
        entries = 0
        with self._damage_told(), tar_stream(path, compression) as stream:
            start: int | None = 0
            while start is not None:
                stream.seek(start)
                headers = TarHeaders(stream)
                for entry in headers:
                    entries += 1 + len(entry.sparse or ())  # a map can have a million parts
                    require_few(str(path), entries)
                    require_name(path, entry.name)
                    self._add(entry, stream, listing)
                start = _next_tar(stream, headers.end)
        self._places = listing.images()
        _require_proportion(path, self._places.values())
        self.names = sorted(self._places, key=natural_key)
        self.partitions = list(self._partitions)

    def _add(self, entry: tarfile.TarInfo, stream: IO[bytes], listing: Listing[_Place]) -> None:
        name = entry.name.removeprefix("./")
        if entry.isreg():
            parts = cast(Iterable[tuple[int, int]] | None, entry.sparse)  # which typeshed takes for bytes
            place = _Place(entry.offset_data, entry.size, None if parts is None else tuple(parts))
            if is_partition_name(name):
                self._partitions[printable(name)] = place
            listing.add_file(name, place, partial(_beginning, stream, place))
        elif entry.islnk():
            listing.add_hard_link(name, entry.linkname.removeprefix("./"))
        elif entry.issym():
            listing.add_link(name, entry.linkname)
        elif not entry.isdir():
            listing.add_special(name)

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            with tar_damage_told(self.path, self.compression):
                yield
        except TrailingDataError as problem:
            raise InputError(
                f"{self.path} does not end where its tar archive ends: {problem}.",
                "Download or copy it again, whole; or unpack each archive that was joined in it, and name the folder.",
            ) from problem

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[BytesMember | UnreadableMember]:
        places = [self._partitions.get(name) or self._places[name] for name in names]
        with tar_stream(self.path, self.compression) as tar, tempfile.TemporaryFile() as spool:
            stream: IO[bytes] = tar
            real = [place for place in places if isinstance(place, _Place)]
            # Of one image with several names, the second is a step back.
            steps_back = any(after.offset < before.offset + before.held for before, after in pairwise(real))
            if self.compression and steps_back:
                # Each step back in a compressed stream starts it anew: go through it once, to a nameless file.
                self._spool(stream, spool)
                stream = spool
            for name, place in zip(names, places, strict=True):
                yield place if isinstance(place, UnreadableMember) else self._member(stream, name, place)

    def _spool(self, stream: IO[bytes], spool: IO[bytes]) -> None:
        while True:
            with self._damage_told():
                piece = stream.read(1 << 20)
            if not piece:
                return
            with writing_told(
                f"No room in {tempfile.gettempdir()} to bring {self.path} in order",
                "Make room there, or unpack the archive and name the folder.",
            ):
                spool.write(piece)

    def _member(self, stream: IO[bytes], name: str, place: _Place) -> BytesMember | UnreadableMember:
        if place.size > LARGEST_IMAGE:
            return UnreadableMember(name, f"{place.size:,} bytes, more than an image has")
        if place.sparse is None:
            return BytesMember(name, self._read(stream, place.offset, place.size))
        if is_out_of_proportion(place.size, place.held, FREE_MEMBER):
            return UnreadableMember(name, f"a sparse file of {place.size:,} bytes with {place.held:,} in it")
        data, offset = bytearray(place.size), place.offset
        for at, size in place.sparse:
            if at + size > place.size:
                return UnreadableMember(name, "a sparse file whose map does not fit its size")
            data[at : at + size] = self._read(stream, offset, size)
            offset += size
        return BytesMember(name, bytes(data))

    def _read(self, stream: IO[bytes], offset: int, size: int) -> bytes:
        with self._damage_told():
            stream.seek(offset)
            data = stream.read(size)
            if len(data) != size:
                raise EOFError("it ends early")
        return data


def _beginning(stream: IO[bytes], place: _Place) -> bytes:
    if place.sparse is not None:
        return b""
    stream.seek(place.offset)
    return stream.read(min(HEAD, place.size))


def _next_tar(stream: IO[bytes], offset: int) -> int | None:
    """Where another tar begins after one that ends at ``offset``; None where none follows.

    The end is a block of zeros, or the file's, while tarfile takes a cut or damaged header for it too: ReadError.
    TrailingDataError where anything else than a tar follows.
    """
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("it is cut short or damaged in the middle")
    offset += tarfile.BLOCKSIZE
    while piece := stream.read(tarfile.BLOCKSIZE << 3):
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        if zeros == len(piece):
            offset += zeros
            continue
        offset += zeros - zeros % tarfile.BLOCKSIZE
        stream.seek(offset)
        try:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise TrailingDataError(f"from its byte {offset:,} on other data follow") from None
        return offset
    return None
