"""Files that are there whole or not at all, and content hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from facegen import console
from facegen.errors import EnvironmentProblem, in_words
from facegen.locks import claim, remove_unclaimed, short_name, sole_use
from facegen.plain_zip import PlainZip
from facegen.printable import json_text

if TYPE_CHECKING:
    import numpy.typing as npt

_CHUNK = 1 << 20
#: The ends of hidden names beside a target: of what is being written, and of a folder in which the old target lies,
#: under the third name, until the new one has taken its place.
_PART, _ASIDE, _OLD = ".part", ".old", "old"
#: The names of these hidden files and folders, of locks', and of a preparation that was broken off.
_OURS = re.compile(r"\..+(\.[a-z0-9_]{8}\.(part|old)|\.part|\.lock)", re.DOTALL)
#: Seconds between tries to rename what another program may have open: six seconds in all.
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
#: The errors of a write for which there is no space. They name no file.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: The errors of opening a file that tell nothing of the file: too many are open, or memory is used up.
OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

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


class NoRegularFile(OSError):
    """A named pipe, a socket, a device or a folder: opening one can block for ever, and some have no end."""


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
        NoRegularFile: ``strerror`` says what it is.
        OSError: it cannot be opened.
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
        raise NoRegularFile(number, f"it is {what}, not a regular file", str(path))


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
    """The sha256 of a regular file's bytes, as 64 hex digits."""
    with open_regular(path) as file:
        return sha256_of(file)


def sha256_of(file: IO[bytes]) -> str:
    """The sha256 of an open file's bytes from where it stands, as 64 hex digits; reads 1 MiB at a time."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def writing_told(cannot: str, remedy: str | None = None) -> Iterator[None]:
    """EnvironmentProblem in place of an OSError of the block.

    Args:
        cannot: what is not written, as it begins a sentence that the system's reason ends.
        remedy: what to do about it, a sentence.
    """
    try:
        yield
    except OSError as problem:
        raise EnvironmentProblem(f"{cannot}: {problem.strerror or problem}.", remedy) from problem


def require_whole_zip(file: IO[bytes]) -> None:
    """Damaged unless every member of the zip in the open ``file`` has the CRC-32 that was written with it.

    ``.npz`` and what ``torch.save`` writes are zips, and torch does not compare.
    """
    try:
        with PlainZip(file) as archive:
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
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
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
    """Yield a temporary path beside ``target``; on success it is renamed onto ``target``, on failure removed.

    A link at ``target`` is followed. What a killed process has left of the same target is removed.

    Raises:
        OSError: as :func:`require_place`, or whatever the system refuses; it names ``target``.
    """
    given, target = target, _followed(target)
    require_place(target)
    with _told_as(given, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts(target)
        file, temporary = _new_part(target)
        try:
            with file:
                yield temporary
                with temporary.open("rb+") as written:
                    os.fsync(written.fileno())
                temporary.chmod(_ordinary_mode(folder=False))
                if os.name == "nt":  # which renames no open file
                    file.close()
                _patiently(lambda: temporary.replace(target))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it takes ``target``'s place, on failure it is removed.

    What stood at ``target`` before is deleted only after the new folder is complete: callers check beforehand that
    it is theirs to replace. A link at ``target`` is followed. What a killed process has left of the same target is
    removed; had it just put the old folder aside, that one is back in its place first.

    Raises:
        OSError: the folder cannot be replaced, as a mount point or the working folder, or whatever else the system
            refuses; it names ``target``.
        EnvironmentProblem: another process writes it.
    """
    given, target = target, _followed(target)
    _require_replaceable(target)
    lock = target.parent / f"{target.name}{_PART}"
    with sole_use(lock, f"writes {given}") as is_alone, _told_as(given, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_alone:
            _settle(target)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_PART))
        aside = None
        try:
            yield temporary
            temporary.chmod(_ordinary_mode(folder=True))
            if target.exists():
                # A rename cannot replace a full folder: step the old one aside first, so that no moment lacks both.
                aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_ASIDE))
                _patiently(lambda: target.replace(aside / _OLD))
            _patiently(lambda: temporary.replace(target))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if aside is not None and not _put_back(aside, target):
                with suppress(OSError):  # empty, where the old folder could not be moved
                    aside.rmdir()
            raise
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)  # the new folder is there and whole; the next run tries again


def _patiently(move: Callable[[], object]) -> None:
    """Rename, or on Windows try for some seconds, where a file that another program has open cannot be renamed.

    A virus scanner opens what was just written, and a viewer what it shows: a night of training must not end by that.
    """
    for wait in _WAITS if os.name == "nt" else ():
        try:
            move()
            return
        except PermissionError:
            time.sleep(wait)
    move()


def require_place(target: Path) -> None:
    """OSError, which names what is at fault, where no file can be written at ``target``: to be said before the work.

    A folder, a device or the like is there already; no folder can be made above it; or it may not be written to.

    Args:
        target: the file that will be written; it need not be there, nor the folders above it.
    """
    target = _followed(target)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "It is a device, pipe or socket", str(target))
    _require_way(target)


def _require_way(target: Path) -> None:
    """OSError where nothing can be made at ``target``, which is not there or may be replaced."""
    for existing in (target.absolute(), *target.absolute().parents):
        if existing.is_symlink() and not existing.exists():
            raise OSError(errno.EEXIST, "It is a link that leads nowhere", str(existing))
        if existing.exists() and existing != target.absolute():
            break
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if not os.access(existing, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def require_folder_place(target: Path) -> None:
    """OSError, which names what is at fault, where :func:`atomic_folder` cannot write: to be said before the work.

    Args:
        target: the folder that will be written or replaced; it need not be there, nor the folders above it.
    """
    _require_replaceable(_followed(target))


def _require_replaceable(target: Path) -> None:
    """OSError for what no rename can replace, or should not: said before the work."""
    _require_way(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    if os.path.ismount(target):
        raise OSError(errno.EBUSY, "It is a mount point, which cannot be replaced, but a folder in it can", str(target))
    here = Path.cwd()
    if any(target.samefile(folder) for folder in (here, *here.parents)):
        raise OSError(errno.EBUSY, "It holds the working folder, and so cannot be replaced", str(target))


def _followed(target: Path) -> Path:
    """Where ``target`` is, if it is a link or has .. in it; a path that ends in a name in any case.

    OSError where .. follows a folder that is not there. Such a path is nowhere until that folder is made, and then
    leads to something that no check has seen.
    """
    with suppress(OSError):
        os.lstat(target)  # ValueError for a NUL, where Path says that it is not there
    for at, part in enumerate(target.parts):
        if part == ".." and not (before := Path(*target.parts[:at])).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(before))
    if target.is_symlink() or not target.name or ".." in target.parts:
        return Path(os.path.realpath(target))  # Path.resolve raises where links lead in a circle
    return target


@contextmanager
def _told_as(given: Path, target: Path) -> Iterator[None]:
    """An OSError about a temporary path names the target instead, as the user named it."""
    try:
        yield
    except OSError as problem:
        hidden = str(target.parent / _prefix(target))
        if str(problem.filename).startswith(hidden) or (problem.filename is None and problem.errno in _FULL):
            problem.filename, problem.filename2 = str(given), None
        raise


def is_left(name: str) -> bool:
    """Whether a hidden file or folder, by its ``name``, is what facegen makes beside a target, and a killed one leaves.

    Args:
        name: without its folder.
    """
    return _OURS.fullmatch(name) is not None


def _prefix(target: Path) -> str:
    return f".{short_name(target.name)}."


def _new_part(target: Path) -> tuple[IO[bytes], Path]:
    """A new hidden file beside ``target``, open. As long as it is open, no other process removes it."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_PART)
        file = os.fdopen(handle, "r+b")
        if claim(file, Path(name)):
            return file, Path(name)
        file.close()


def _left(target: Path, suffix: str) -> list[Path]:
    """The hidden files and folders of a target beside it, the newest first."""
    pattern = re.compile(rf"{re.escape(_prefix(target))}[a-z0-9_]{{8}}{re.escape(suffix)}")
    found = [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.lstat().st_mtime, reverse=True)


def _remove_parts(target: Path) -> None:
    """Remove the temporary files of killed processes."""
    try:
        for part in _left(target, _PART):
            if part.is_file() and not part.is_symlink():
                remove_unclaimed(part)
    except OSError:
        pass  # the folder cannot be listed, or another process was quicker; what is left does no harm


def _settle(target: Path) -> None:
    """Clear up what killed processes left of a folder. Only for the process that alone may write it."""
    for aside in _left(target, _ASIDE):
        if _put_back(aside, target):
            console.warn(f"{target} had been put aside by a process that was killed; it is back in its place.")
        shutil.rmtree(aside, ignore_errors=True)
    for part in _left(target, _PART):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def _put_back(aside: Path, target: Path) -> bool:
    """Whether an old folder that was put aside is now in its place again, which was empty."""
    if target.exists() or not (aside / _OLD).exists():
        return False
    (aside / _OLD).replace(target)
    aside.rmdir()
    return True


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
    with open_regular(path) as file:
        text = file.read()
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
