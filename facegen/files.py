"""Files that are there whole or not at all, and content hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from facegen.errors import EnvironmentProblem, in_words
from facegen.printable import json_text

if TYPE_CHECKING:
    import numpy.typing as npt

_CHUNK = 1 << 20

#: What the stages take for a path.
StrPath = str | os.PathLike[str]


class Damaged(ValueError):
    """A file does not hold what was written to it; in words that stand in a sentence, without a full stop."""


#: What is said where a hash tells it.
OTHER_CONTENTS = "its contents do not match the hash they were saved with"


def optional_path(path: StrPath | None) -> Path | None:
    """A path where one was given."""
    return None if path is None else Path(path)


class Openable(Protocol):
    """A place of bytes within a file, which is opened as a path is."""

    def open(self, mode: str = "rb") -> IO[bytes]: ...


#: What is no regular file, by its type.
_NO_FILE = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path | Openable) -> IO[bytes]:
    """Open a file for reading, as ``path.open("rb")`` does, and nothing else than a regular file.

    Opening a named pipe can block for ever, and a device can have no end. So the type is asked before, and again of
    what was opened, which may be another file by then.

    Args:
        path: a path, whose links are followed; what is no path, such as a place in an archive, opens itself.

    Raises:
        OSError: it cannot be opened, or is no regular file; ``strerror`` says which.
    """
    if not isinstance(path, Path):
        return path.open("rb")
    _require_regular(path, path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | _WITHOUT_WAITING)
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


#: Flags of :func:`os.open`; Windows lacks all but the first, and others lack that.
_WITHOUT_WAITING = 0
for _flag in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"):
    _WITHOUT_WAITING |= getattr(os, _flag, 0)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _NO_FILE.get(stat.S_IFMT(mode), "something else")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"it is {what}, not a regular file", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """All bytes of a regular file that has at most ``most``. OSError as of :func:`open_regular`, or where it has more.

    Args:
        path: the file.
        most: bytes that are read; what a program writes by itself is never near it.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
        return file.read()


def sha256_file(path: Path) -> str:
    """The sha256 of a regular file's bytes, as 64 hex digits; reads in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def require_whole_zip(path: Path) -> None:
    """Damaged unless every member of the zip at ``path`` has the CRC-32 that was written with it.

    ``.npz`` and what ``torch.save`` writes are zips, and torch does not compare.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as problem:  # a flipped bit may be of a size, an encoding or a method: there is no end of errors
        raise Damaged(in_words(problem)) from problem
    if damaged is not None:
        raise Damaged(OTHER_CONTENTS)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an ``.npz`` of plain arrays. Damaged where they are not those that were written.

    NumPy compares each member's CRC-32 as it reads it to its end.
    """
    import numpy as np  # a command that reads no arrays need not wait for it

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as problem:  # as above
        raise Damaged(in_words(problem)) from problem


def fields_sha256(fields: Mapping[str, Any]) -> str:
    """The sha256 of a JSON object's fields, in whatever order and layout they stand in a file."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _ordinary_mode(folder: bool) -> int:
    """The mode a plain ``open`` or ``mkdir`` would give: tempfile's 0600 would lock colleagues out."""
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if folder else 0o666) & ~mask


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on success it is renamed onto ``target``, on failure removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(_ordinary_mode(folder=False))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it takes ``target``'s place, on failure it is removed.

    What stood at ``target`` before is deleted only after the new folder is complete: callers check beforehand that
    it is theirs to replace.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(_ordinary_mode(folder=True))
        if target.exists():
            # A rename cannot replace a full folder: step the old one aside first, so that no moment lacks both.
            aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".old"))
            target.replace(aside / "old")
            temporary.replace(target)
            shutil.rmtree(aside)
        else:
            temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with ``\\n`` line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as :func:`facegen.printable.json_text`, atomically. NaN and infinity are refused: ValueError."""
    write_text(path, json_text(value) + "\n")


def write_sealed_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON object with the sha256 of its fields beside them, for :func:`read_sealed_json`."""
    write_json(path, {**fields, "sha256": fields_sha256(fields)})


def read_sealed_json(path: Path) -> dict[str, Any]:
    """The fields that :func:`write_sealed_json` wrote. Damaged where they are others; OSError where it is not there."""
    text = path.read_bytes()
    try:
        fields = dict(json.loads(text))
        sha256 = fields.pop("sha256", None)
    except (ValueError, TypeError, RecursionError) as problem:
        raise Damaged(in_words(problem)) from problem
    if sha256 != fields_sha256(fields):
        raise Damaged(OTHER_CONTENTS)
    return fields


def cache_folder() -> Path:
    """Where downloaded weights and reference statistics are kept: ``$FACEGEN_CACHE``, else the platform's cache.

    EnvironmentProblem where neither is known, as in a container whose user has no home.
    """
    if chosen := os.environ.get("FACEGEN_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):  # on every platform
        return Path(base) / "facegen"
    try:
        home = Path.home()
    except RuntimeError as problem:
        raise EnvironmentProblem(
            "This user has no home folder, so there is no cache folder.", "Name one by FACEGEN_CACHE."
        ) from problem
    old = home / ".cache" / "facegen"  # where everything was on macOS once, and is on Linux
    if old.is_dir():
        return old
    from platformdirs import user_cache_path

    return user_cache_path("facegen", appauthor=False, opinion=False)
