"""The sources of a dataset: images in a folder, an archive or torchvision's CelebA root, or drawn faces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL import Image

from facegen.data.containers import Container, Member
from facegen.data.dataset import is_dataset
from facegen.data.decode import Decoded, Unreadable, decode
from facegen.data.folders import Folder
from facegen.data.joined import Joined
from facegen.data.opening import open_container
from facegen.data.parquet import Parquet
from facegen.data.passed_over import PassedOver
from facegen.data.rgb import AS_STORED, PreparedRgb
from facegen.errors import EnvironmentProblem, InputError

#: Number of images that a worker gets at a time: enough to outweigh the transfer, few enough to keep memory small.
CHUNK = 32

SYNTHETIC = "synthetic"
SYNTHETIC_COUNT = 2500
#: Maximum number of drawn faces. Their names alone take 100 MB; drawing them takes an hour and 12 GB.
MOST_SYNTHETIC = 1_000_000


class Chunk(Protocol):
    """A few images on their way to a worker process, which decodes them. A chunk is small and picklable."""

    def decode(self) -> Iterator[tuple[str, Decoded | Unreadable]]:
        """Yield each image's name with its picture, or with the reason why there is none."""
        ...


class Source(Protocol):
    """The source of a dataset's images: ``names`` in natural order, and chunks of images."""

    kind: str

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def label(self) -> str:
        """The source's name for people and for the manifest, without the private part of a path."""
        ...

    @property
    def identity(self) -> str:
        """64 hex digits that change when the images may have changed."""
        ...

    @property
    def passed_over(self) -> PassedOver:
        """The other files in the source."""
        ...

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]: ...


@dataclass(frozen=True)
class _EncodedChunk:
    members: tuple[Member, ...]
    to_rgb: PreparedRgb

    def decode(self) -> Iterator[tuple[str, Decoded | Unreadable]]:
        for member in self.members:
            try:
                yield member.name, decode(member.read(), self.to_rgb)
            except Unreadable as problem:
                yield member.name, problem


class StoredImages:
    """The images of a folder or an archive."""

    def __init__(self, container: Container, to_rgb: PreparedRgb) -> None:
        self.container, self._to_rgb = container, to_rgb
        self.passed_over = container.passed_over
        self.kind = container.kind
        self.label = container.path.resolve().name
        self._state = _state(container)

    @property
    def names(self) -> Sequence[str]:
        return self.container.names

    @property
    def identity(self) -> str:
        return self.container.identity

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        members = self.container.members(names)
        while chunk := tuple(islice(members, CHUNK)):
            yield _EncodedChunk(chunk, self._to_rgb)

    def require_unchanged(self) -> None:
        """Check that the files that were listed and hashed are the files that were read.

        Raises:
            InputError: A file changed in the meantime.
            EnvironmentProblem: A file is not there any more.
        """
        container = self.container
        try:
            same = container.is_unchanged() if isinstance(container, Folder) else _state(container) == self._state
        except OSError as problem:
            raise EnvironmentProblem(
                f"Cannot read {container.path}: {problem.strerror or problem}.", "Run it again when it is readable."
            ) from problem
        if not same:
            raise InputError(
                f"{container.path} changed while it was read.",
                "Run it again when all files are there and stay as they are.",
            )


def _state(container: Container) -> list[tuple[int, int]]:
    """Return size and modification time of each file of a container. A folder keeps track by itself."""
    if isinstance(container, Folder):
        return []
    if isinstance(container, Joined):
        return [state for part in container.parts for state in _state(part)]
    files = container.shards if isinstance(container, Parquet) else [container.path]
    return [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in files)]


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
    """Procedurally drawn faces, named ``face-000000`` and so on."""

    kind = SYNTHETIC

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.passed_over = PassedOver()
        self.names = [f"face-{index:06d}" for index in range(count)]
        self.label = f"{SYNTHETIC}:{count}"

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"{self.label} seed {self.seed}".encode()).hexdigest()

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        return (_DrawnChunk(self.seed, tuple(names[at : at + CHUNK])) for at in range(0, len(names), CHUNK))


def is_synthetic(source: str | Path) -> bool:
    """Return whether SOURCE is ``synthetic`` or ``synthetic:N``. A path object never is."""
    return isinstance(source, str) and source.partition(":")[0] == SYNTHETIC


def open_source(source: str | Path, seed: int = 0, to_rgb: PreparedRgb = AS_STORED) -> Source:
    """Open a SOURCE: ``synthetic``, ``synthetic:N`` (drawn from ``seed``) or a path.

    Args:
        seed: Seed of the drawn faces.
        to_rgb: How stored images are converted to RGB.
    """
    number = str(source).partition(":")[2]
    if not is_synthetic(source):
        if is_dataset(Path(source)):
            raise InputError(f"{source} is a prepared dataset already.", "Name the photographs that it was made from.")
        return StoredImages(open_container(Path(source)), to_rgb)
    if not number and str(source) == SYNTHETIC:
        return SyntheticFaces(SYNTHETIC_COUNT, seed)
    count = int(number) if number.isdecimal() and len(number) <= len(str(MOST_SYNTHETIC)) else 0
    if not 1 <= count <= MOST_SYNTHETIC:
        raise InputError(
            f"{str(source)!r} does not give a number of faces from 1 to {MOST_SYNTHETIC:,}.",
            "Write it like synthetic:2500.",
        )
    return SyntheticFaces(count, seed)
