"""Archives in archives: open what an outer zip or tar without images of its own holds, in place."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from facegen.data.archives import BytesMember, Tar, TarHeaders, Zip, is_encrypted, tar_stream
from facegen.data.arrays import stored
from facegen.data.caps import require_proportion
from facegen.data.damage import tar_damage_told, zip_damage_told
from facegen.data.decode import Unreadable
from facegen.data.joined import include
from facegen.data.listing import UnreadableMember
from facegen.data.litter import is_litter
from facegen.data.places import Spooled, Window
from facegen.errors import InputError
from facegen.file_kinds import HEAD
from facegen.files import open_regular, sha256_file
from facegen.plain_zip import PlainZip

if TYPE_CHECKING:
    from facegen.data.containers import Container, Member

#: Maximum depth: an archive in an archive in an archive. Decompression bombs go deeper.
DEEPEST = 2
#: Maximum number of files in an archive whose first bytes are read. Beyond it, only files named like archives are read.
_LOOKED_AT = 64
_SUFFIXES = (".zip", ".npz", ".npy", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".parquet", ".h5", ".hdf5", ".h5py")
#: The beginning of CelebA's own archive's name. It is chosen if there are several archives.
_CELEBA = "img_align_celeba."


@dataclass(frozen=True)
class Inner:
    """A file in an archive that may hold images: its name, its size, and a function that makes it readable."""

    name: str
    size: int
    bring: Callable[[], Window | Spooled]


class Inside:
    """The images of an archive, table or array that lies in another archive.

    Attributes:
        outer: The outer archive.
        content: The inner container.
    """

    def __init__(self, outer: Zip | Tar, place: Window | Spooled, content: Container) -> None:
        """Combine ``content``, opened at ``place`` in ``outer``, with ``outer``, which has no images itself."""
        self.path, self.outer, self._place, self.content = outer.path, outer, place, content
        self.kind = content.kind
        self.names = content.names
        self.passed_over = content.passed_over
        include(self.passed_over, outer.passed_over)
        suffixes, suffix = self.passed_over.suffixes, PurePosixPath(place.inner).suffix.lower()
        suffixes[suffix] -= 1  # The inner archive itself is used, not left out.
        if suffixes[suffix] < 1:
            del suffixes[suffix]
        if place.inner in self.passed_over.archives:
            self.passed_over.archives.remove(place.inner)

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[Member]:
        for member in self.content.members(names):
            if isinstance(self._place, Window):
                yield member
                continue
            # Only this process can read its unnamed temporary file, so a worker gets the bytes.
            try:
                yield BytesMember(member.name, member.read())
            except Unreadable as problem:
                yield UnreadableMember(member.name, problem.reason)


def archives_in(outer: Zip | Tar, wanted: Callable[[bytes], bool]) -> list[Inner]:
    """Return the files in an archive whose first bytes satisfy ``wanted``, in the archive's order."""
    if isinstance(outer, Zip):
        return _in_zip(outer.path, wanted)
    return _in_tar(outer.path, outer.compression, wanted)


def the_one(inner: Sequence[Inner], path: Path) -> Inner | None:
    """Return the archive to read: the only one, or CelebA's own; None if there is none.

    Raises:
        InputError: There are several archives and none, or more than one, is CelebA's.
    """
    celeba = [one for one in inner if one.name.rpartition("/")[2].lower().startswith(_CELEBA)]
    if len(inner) > 1 and len(celeba) != 1:
        raise InputError(
            f"{path} holds no image, but {len(inner)} archives: {', '.join(one.name for one in inner[:5])}.",
            "Unpack it, and name the one you mean.",
        )
    return next(iter(celeba or inner), None)


def open_inside(inner: Inner, outer: Zip | Tar, open_: Callable[[Path], Container]) -> Inside:
    """Open one of the files in ``outer`` by ``open_``, which treats it as a path."""
    place = inner.bring()
    return Inside(outer, place, open_(cast(Path, place)))


def _looked_at(names: Sequence[str]) -> set[str]:
    names = [name for name in names if not is_litter(name)]
    called = {name for name in names if name.lower().endswith(_SUFFIXES)}
    return called | set(names[:_LOOKED_AT] if len(names) <= _LOOKED_AT else ())


def _in_zip(path: Path, wanted: Callable[[bytes], bool]) -> list[Inner]:
    found = []
    with zip_damage_told(path), open_regular(path) as file, PlainZip(file) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename and not entry.is_dir()]
        names = _looked_at([entry.filename for entry in entries])
        for entry in entries:
            if entry.filename not in names:
                continue
            if is_encrypted(entry):
                raise InputError(f"{path} is encrypted ({entry.filename}).", "Make a zip without a password.")
            with archive.open(entry) as member:
                head = member.read(HEAD)
            if wanted(head):
                found.append(Inner(entry.filename, entry.file_size, _ZipBringer(path, entry)))
    return found


@dataclass(frozen=True)
class _ZipBringer:
    path: Path
    entry: zipfile.ZipInfo

    def __call__(self) -> Window | Spooled:
        if self.entry.compress_type == zipfile.ZIP_STORED:
            window = stored(self.path, self.entry)
            with window.open() as file:
                checks_itself = file.read(2) == b"PK"
            if not checks_itself:
                window.check_crc(self.entry.CRC)
            return window
        require_proportion(f"{self.entry.filename} in {self.path}", self.entry.file_size, self.entry.compress_size)
        with (
            zip_damage_told(self.path),
            open_regular(self.path) as file,
            PlainZip(file) as archive,
            archive.open(self.entry) as source,
        ):
            spooled = Spooled(self.entry.filename, self.path, source, self.entry.file_size)
            source.read(1)  # zipfile compares the CRC-32 at the end.
            return spooled


def _in_tar(path: Path, compression: str, wanted: Callable[[bytes], bool]) -> list[Inner]:
    found = []
    with tar_damage_told(path, compression), tar_stream(path, compression) as stream:
        files = (entry for entry in TarHeaders(stream) if entry.isreg() and not entry.issparse())
        entries = [_TarBringer(path, entry.name, entry.offset_data, entry.size, compression) for entry in files]
        names = _looked_at([entry.name for entry in entries])
        for entry in entries:
            if entry.name not in names:
                continue
            stream.seek(entry.offset)
            if wanted(stream.read(min(HEAD, entry.size))):
                found.append(Inner(entry.name, entry.size, entry))
    return found


@dataclass(frozen=True)
class _TarBringer:
    path: Path
    name: str
    offset: int
    size: int
    compression: str

    def __call__(self) -> Window | Spooled:
        if not self.compression:
            return Window(self.name, self.path, self.offset, self.size)
        with tar_damage_told(self.path, self.compression), tar_stream(self.path, self.compression) as stream:
            stream.seek(self.offset)
            return Spooled(self.name, self.path, stream, self.size)
