"""What a SOURCE can be, told by looking: a folder, an archive, torchvision's CelebA root, or drawn faces."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL import Image

from facegen.data.archives import Tar, Zip
from facegen.data.containers import Container, Folder, Member
from facegen.data.dataset import is_dataset
from facegen.data.decode import Decoded, Unreadable, decode, suffixes
from facegen.errors import InputError

#: Images a worker is handed at a time: enough to outweigh the hand-over, few enough to keep memory small.
CHUNK = 32

SYNTHETIC = "synthetic"
SYNTHETIC_COUNT = 2500


class Chunk(Protocol):
    """A few images on their way to a worker process: small, picklable, decoded there."""

    def decode(self) -> Iterator[tuple[str, Decoded | Unreadable]]:
        """Each image's name with its picture, or with why there is none."""
        ...


class Source(Protocol):
    """Where a dataset's images come from: ``names`` in natural order, and chunks of them."""

    kind: str

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def label(self) -> str:
        """Its name for people and for the manifest, without the private part of a path."""
        ...

    @property
    def identity(self) -> str:
        """64 hex digits that change when the images may have."""
        ...

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]: ...


@dataclass(frozen=True)
class _EncodedChunk:
    members: tuple[Member, ...]

    def decode(self) -> Iterator[tuple[str, Decoded | Unreadable]]:
        for member in self.members:
            try:
                yield member.name, decode(member.read())
            except Unreadable as problem:
                yield member.name, problem


class StoredImages:
    """The images of a folder or an archive."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.kind = container.kind
        self.label = container.path.resolve().name

    @property
    def names(self) -> Sequence[str]:
        return self.container.names

    @property
    def identity(self) -> str:
        return self.container.identity

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        members = self.container.members(names)
        while chunk := tuple(islice(members, CHUNK)):
            yield _EncodedChunk(chunk)


@dataclass(frozen=True)
class _DrawnChunk:
    seed: int
    names: tuple[str, ...]

    def decode(self) -> Iterator[tuple[str, Decoded | Unreadable]]:
        from facegen.data.synthetic import render_faces

        indices = [int(name.removeprefix("face-")) for name in self.names]
        for name, pixels in zip(self.names, render_faces(self.seed, indices), strict=True):
            yield name, Decoded(Image.fromarray(pixels))


class SyntheticFaces:
    """``count`` procedurally drawn faces, named ``face-000000`` and so on."""

    kind = SYNTHETIC

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.names = [f"face-{index:06d}" for index in range(count)]
        self.label = f"{SYNTHETIC}:{count}"

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"{self.label} seed {self.seed}".encode()).hexdigest()

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        return (_DrawnChunk(self.seed, tuple(names[at : at + CHUNK])) for at in range(0, len(names), CHUNK))


def open_source(source: str | Path, seed: int = 0) -> Source:
    """Open what the words of SOURCE say: ``synthetic``, ``synthetic:N`` (drawn from ``seed``) or a path."""
    word, _, number = str(source).partition(":")
    if isinstance(source, Path) or word != SYNTHETIC:
        if is_dataset(Path(source)):
            raise InputError(f"{source} is a prepared dataset already.", "Name the photographs it was made from.")
        return StoredImages(open_container(Path(source)))
    if not number and str(source) == SYNTHETIC:
        return SyntheticFaces(SYNTHETIC_COUNT, seed)
    if not number.isdecimal() or int(number) < 1:
        raise InputError(f"{str(source)!r} does not say how many faces.", "Write it like synthetic:2500.")
    return SyntheticFaces(int(number), seed)


def open_container(path: Path) -> Container:
    """Open the images at ``path``, a folder or an archive told by its content rather than its name.

    torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba`` alone.
    InputError when it is absent, no such archive, damaged, or holds no image.
    """
    container = _open(path)
    if not container.names:
        what = {"folder": "the folder and its subfolders", "zip": "the zip", "tar": "the tar"}[container.kind]
        raise InputError(
            f"No image found in {path}: looked through {what} for files ending in .jpg, .jpeg, .png, .webp, .bmp, "
            f".tif, .gif and the like ({len(suffixes())} endings, upper or lower case), hidden files aside.",
            _archive_inside(path),
        )
    return container


def _archive_inside(folder: Path) -> str | None:
    """The remedy for a folder that holds the images' archive instead of the images."""
    if not folder.is_dir():
        return None
    inside = (entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in (".zip", ".tar", ".tgz", ".gz"))
    archive = next(inside, None)
    return None if archive is None else f"Name the archive in it instead: {archive}"


def _open(path: Path) -> Container:
    try:
        if path.is_dir():
            return _open_folder(path)
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror}.") from problem
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return Zip(path)
    for magic, compression in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz")):
        if head.startswith(magic):
            return Tar(path, compression)
    if head[257:262] == b"ustar" or tarfile.is_tarfile(path):
        return Tar(path, "")
    raise _not_an_archive(path, head)


def _open_folder(path: Path) -> Container:
    for base in (path, path / "celeba"):
        if (base / "img_align_celeba").is_dir():
            return Folder(base, within="img_align_celeba")
        if (base / "img_align_celeba.zip").is_file():
            return _open(base / "img_align_celeba.zip")
    return Folder(path)


def _not_an_archive(path: Path, head: bytes) -> InputError:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return InputError(f"{path} is an empty file.", "Download or copy it again.")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return InputError(
            f"{path} is an HTML page, not an archive: Google Drive serves one instead of the file when its download "
            "quota is used up or a confirmation is asked.",
            "Open the link in a browser and download again, try tomorrow, or use the Kaggle mirror.",
        )
    if head.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")):
        kind = "7-Zip" if head.startswith(b"7z") else "RAR"
        return InputError(
            f"{path} is a {kind} archive, which facegen does not read.",
            "Unpack it and name the folder, or pack it as .zip or .tar.gz.",
        )
    return InputError(
        f"{path} is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive.",
        "Name a folder or an archive of images.",
    )
