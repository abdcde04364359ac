"""Images in zip and tar archives, read in place. Nothing is unpacked to disk as files."""

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

#: Maximum number of attributes that a tar sets for all its entries (pax global headers). git archive writes one.
_MOST_GLOBAL = 100
#: Maximum length of the target of a symbolic link in a zip, in bytes.
_LONGEST_TARGET = 4096


@dataclass(frozen=True, slots=True)
class ZipMember:
    """The place of a file in its zip.

    A worker process reads the file by its place and need not parse the zip's directory of perhaps 200,000 entries.
    """

    name: str
    archive: Path
    offset: int
    method: int
    compressed_size: int
    size: int
    crc: int

    def read(self) -> bytes:
        if self.size > LARGEST_IMAGE:
            raise Unreadable(f"{self.size:,} bytes, too large for an image")
        if is_out_of_proportion(self.size, self.compressed_size, FREE_MEMBER):
            raise Unreadable(
                f"its {self.size:,} bytes are packed into {self.compressed_size:,}, more than {RATIO} times smaller, "
                "which looks like a decompression bomb"
            )
        try:
            with open_regular(self.archive) as file:
                file.seek(self.offset)
                header = file.read(30)
                if len(header) < 30 or header[:4] != b"PK\3\4":
                    raise Unreadable("the zip is damaged where this file begins")
                # The local header repeats the name and the extra field; their lengths may differ from the directory's.
                file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)
                packed = file.read(self.compressed_size)
        except OSError as problem:  # It concerns the zip, and so every file in it.
            raise EnvironmentProblem(
                f"Cannot read {self.archive}: {problem.strerror or problem}.", "Run it again when the file is readable."
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
    """Images in a zip, read in place.

    ``partitions`` lists the names of CelebA's partition files in the zip; ``members`` accepts these names too.
    """

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
        kind = stat.S_IFMT(entry.external_attr >> 16)  # The Unix mode, if the zip was made on Unix.
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
                f"{self.path} compresses {printable(entry.filename)} by a method that facegen cannot read "
                f"(number {entry.compress_type}).",
                "Make the zip again with ordinary deflate compression.",
            )

    def _check_start(self, first: int) -> None:
        """Raise InputError if another complete zip lies before the first member; its members are listed only there."""
        if not first:
            return
        with open_regular(self.path) as file:
            begins_as_zip = file.read(4) == b"PK\3\4"
            file.seek(max(0, first - _LONGEST_ZIP_END))
            before = file.read(min(first, _LONGEST_ZIP_END))
        if begins_as_zip and b"PK\5\6" in before:
            raise InputError(
                f"{self.path} is several zips joined into one file, and only the last of them can be read.",
                "Unpack the original zips into one folder, and name that folder.",
            )

    def _check_overlaps(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Raise InputError if two members share bytes. Overlaps let a small zip list one image any number of times."""
        in_order = sorted(entries, key=lambda entry: entry.header_offset)
        for entry, following in pairwise(in_order):
            # A local header has 30 bytes plus a name and an extra field, which may be shorter than in the directory.
            if entry.header_offset + 30 + entry.compress_size > following.header_offset:
                raise InputError(
                    f"{self.path} is a zip whose members overlap (for example {printable(entry.filename)} and "
                    f"{printable(following.filename)}): it is damaged, or a decompression bomb.",
                    "Download or copy it again in full, or use another zip.",
                )

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[ZipMember | UnreadableMember]:
        for name in names:
            member = self._partitions.get(name) or self._members[name]
            yield member if member.name == name else replace(member, name=name)


#: Length of the end record of a zip with the longest possible comment, in bytes.
_LONGEST_ZIP_END = 22 + 0xFFFF


def is_encrypted(entry: zipfile.ZipInfo) -> bool:
    return bool(entry.flag_bits & 0x1)


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name with forward slashes.

    macOS writes UTF-8 names without setting the flag for UTF-8, so UTF-8 is tried first.
    """
    name = entry.filename
    if not name.isascii() and not entry.flag_bits & 0x800:
        # A name that is not UTF-8 stays in cp437, the standard's encoding. No field names any other code page.
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
    """Raise InputError if an archive's images, counted once for each name, are far larger than the archive."""
    sizes = (
        image.size if isinstance(image, ZipMember) else image.held
        for image in images
        if not isinstance(image, UnreadableMember)
    )
    require_proportion(str(path), sum(size for size in sizes if size <= LARGEST_IMAGE), path.stat().st_size)


@dataclass(frozen=True)
class BytesMember:
    """An image whose bytes were already read.

    A compressed tar can only be read from its beginning, by one process, so its members carry their bytes.
    """

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


class _Place(NamedTuple):
    """The place of a member's bytes in a tar. ``sparse``: the (offset, size) of each stored part of a sparse file."""

    offset: int
    size: int
    sparse: tuple[tuple[int, int], ...] | None

    @property
    def held(self) -> int:
        """Number of bytes that the tar stores for the member."""
        return self.size if self.sparse is None else sum(size for _, size in self.sparse)


def tar_stream(path: Path, compression: str) -> IO[bytes]:
    """Open the tar at ``path`` for reading, decompressed.

    Args:
        compression: ``""`` for a plain tar, ``"gz"``, ``"bz2"`` or ``"xz"``.
    """
    if not compression:
        return open_regular(path)
    return io.BufferedReader(Decompressed(path, compression), 1 << 17)


class TarHeaders:
    """The entries of the tar that begins at the current position of ``stream``.

    :mod:`tarfile` reads names and attributes of any length into memory. This class raises ReadError beyond
    :data:`facegen.data.caps.LONGEST_HEADER` bytes per entry, which no real entry has.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, LONGEST_HEADER
        self._archive = tarfile.TarFile(fileobj=cast(IO[bytes], self), encoding="utf-8", errors="surrogateescape")

    def read(self, size: int) -> bytes:
        """Read for :mod:`tarfile`, which asks for a block, or for names and attributes."""
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(
                f"an entry has more than {LONGEST_HEADER:,} bytes of names, attributes and sparse-file maps"
            )
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """Yield the entries. The caller may move ``stream`` between two of them."""
        while (entry := self._next()) is not None:
            self._archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            if len(self._archive.pax_headers) > _MOST_GLOBAL:
                raise tarfile.ReadError(f"it sets more than {_MOST_GLOBAL:,} attributes for all entries")
            yield entry

    def _next(self) -> tarfile.TarInfo | None:
        self._left = LONGEST_HEADER
        return self._archive.next()

    @property
    def end(self) -> int:
        """Offset of the block that ended the archive."""
        return self._archive.offset


class Tar:
    """Images in a tar, plain or compressed, read as a stream. The file may hold several tars, one after another.

    ``partitions`` lists the names of CelebA's partition files in the tar; ``members`` accepts these names too.
    """

    kind = "tar"

    def __init__(self, path: Path, compression: str) -> None:
        """List the tar at ``path``.

        Args:
            compression: ``""`` for a plain tar, ``"gz"``, ``"bz2"`` or ``"xz"``.
        """
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
                    entries += 1 + len(entry.sparse or ())  # The map of one sparse file can have a million parts.
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
            parts = cast(Iterable[tuple[int, int]] | None, entry.sparse)  # typeshed declares it as bytes.
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
                "Download or copy it again in full. Or unpack each archive that was joined in it, and name the folder.",
            ) from problem

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[BytesMember | UnreadableMember]:
        places = [self._partitions.get(name) or self._places[name] for name in names]
        with tar_stream(self.path, self.compression) as tar, tempfile.TemporaryFile() as spool:
            stream: IO[bytes] = tar
            real = [place for place in places if isinstance(place, _Place)]
            # If an image has several names, its second reading is a step back.
            steps_back = any(after.offset < before.offset + before.held for before, after in pairwise(real))
            if self.compression and steps_back:
                # Each step back in a compressed stream restarts it, so the stream is unpacked once to a temporary file.
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
                f"There is not enough space in {tempfile.gettempdir()} to read the images of {self.path} in order",
                "Free some space there, or unpack the archive and name the folder.",
            ):
                spool.write(piece)

    def _member(self, stream: IO[bytes], name: str, place: _Place) -> BytesMember | UnreadableMember:
        if place.size > LARGEST_IMAGE:
            return UnreadableMember(name, f"{place.size:,} bytes, too large for an image")
        if place.sparse is None:
            return BytesMember(name, self._read(stream, place.offset, place.size))
        if is_out_of_proportion(place.size, place.held, FREE_MEMBER):
            return UnreadableMember(name, f"a sparse file of {place.size:,} bytes of which {place.held:,} are stored")
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
    """Return the offset of the tar that follows one ending at ``offset``, or None if only zeros follow.

    A tar ends with a block of zeros or with the file. :mod:`tarfile` also stops at a cut or damaged header, so this is
    checked here.

    Raises:
        ReadError: The tar is cut short or damaged at ``offset``.
        TrailingDataError: Something other than a tar follows.
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
            raise TrailingDataError(f"other data follow from byte {offset:,}") from None
        return offset
    return None
