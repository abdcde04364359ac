"""Atomic writes, checked reads and content hashes.

A file or folder written with these functions is either complete or absent, even if the process is killed.
"""

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
#: Suffixes of the hidden names beside a target: what is being written, and the folder that holds the old target
#: (under the third name) until the new one has taken its place.
_PART, _ASIDE, _OLD = ".part", ".old", "old"
#: Matches the names of these hidden files and folders, of lock files, and of a preparation that was interrupted.
_OURS = re.compile(r"\..+(\.[a-z0-9_]{8}\.(part|old)|\.part|\.lock)", re.DOTALL)
#: Pauses, in seconds, between attempts to rename a file that another program may have open. They add up to six seconds.
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
#: Error numbers of a write that failed for lack of space. Such errors name no file.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: Error numbers of an open that failed for reasons unrelated to the file: too many open files, or no memory.
OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

#: A path as the stages accept it.
StrPath = str | os.PathLike[str]


class Damaged(ValueError):
    """The content of a file is not what was written to it.

    The message is a clause without a full stop, to be put into a sentence.
    """


#: The message when a hash shows the damage.
OTHER_CONTENTS = "its contents do not match the hash they were saved with"


def optional_path(path: StrPath | None) -> Path | None:
    """Convert a string to a path, and keep None."""
    return None if path is None else Path(path)


class Openable(Protocol):
    """A range of bytes within a file that is opened like a path."""

    def open(self, mode: str = "rb") -> IO[bytes]: ...


class NoRegularFile(OSError):
    """The path is a named pipe, a socket, a device or a folder.

    Opening one can block forever, and some have no end.
    """


#: The name of each type of file that is not a regular file.
_NO_FILE = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path | Openable) -> IO[bytes]:
    """Open a regular file for reading, as ``path.open("rb")`` does, and refuse everything else.

    Opening a named pipe can block forever, and a device can have no end. The type is therefore checked before the
    file is opened, and again afterwards, because the path may have been replaced in between.

    Args:
        path: A path, whose links are followed. An :class:`Openable`, such as a file within an archive, opens itself.

    Raises:
        NoRegularFile: The path is not a regular file. ``strerror`` says what it is.
        OSError: The file cannot be opened.
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


#: Flags for :func:`os.open`. Windows lacks all but the first, and other systems lack the first.
_WITHOUT_WAITING = 0
for _flag in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"):
    _WITHOUT_WAITING |= getattr(os, _flag, 0)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _NO_FILE.get(stat.S_IFMT(mode), "something else")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise NoRegularFile(number, f"it is {what}, not a regular file", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """Read a whole regular file of at most ``most`` bytes.

    Args:
        path: The file.
        most: Largest accepted size, in bytes. Files that programs write by themselves stay far below it.

    Raises:
        OSError: As :func:`open_regular`, or the file is larger than ``most``.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
        return file.read()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a regular file's content, as 64 hex digits."""
    with open_regular(path) as file:
        return sha256_of(file)


def sha256_of(file: IO[bytes]) -> str:
    """Return the sha256 of an open file from its current position to its end, as 64 hex digits.

    The file is read in blocks of 1 MiB.
    """
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def writing_told(cannot: str, remedy: str | None = None) -> Iterator[None]:
    """Turn an OSError raised inside the block into an EnvironmentProblem.

    Args:
        cannot: The beginning of the message, such as "The log cannot be written". The system's reason is appended.
        remedy: A sentence that says what to do about it.
    """
    try:
        yield
    except OSError as problem:
        raise EnvironmentProblem(f"{cannot}: {problem.strerror or problem}.", remedy) from problem


def require_whole_zip(file: IO[bytes]) -> None:
    """Check the CRC-32 of every member of the zip in the open ``file``.

    ``.npz`` files and the files of ``torch.save`` are zips, and torch does not check them.

    Raises:
        Damaged: A member's content does not match its CRC-32.
    """
    try:
        with PlainZip(file) as archive:
            damaged = archive.testzip()
    except Exception as problem:  # a flipped bit can hit a size, an encoding or a method, and raise anything
        raise Damaged(in_words(problem)) from problem
    if damaged is not None:
        raise Damaged(OTHER_CONTENTS)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an ``.npz`` file.

    NumPy checks the CRC-32 of each array as it reads to its end.

    Raises:
        Damaged: An array is not what was written.
    """
    import numpy as np  # imported here so that commands that read no arrays start faster

    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as problem:  # as above
        raise Damaged(in_words(problem)) from problem


def fields_sha256(fields: Mapping[str, Any]) -> str:
    """Return the sha256 of a JSON object's fields, whatever their order and layout in a file."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _ordinary_mode(folder: bool) -> int:
    """Return the mode that a plain ``open`` or ``mkdir`` would give. tempfile's 0600 would lock colleagues out."""
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if folder else 0o666) & ~mask


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it onto ``target`` on success, remove it on failure.

    If ``target`` is a link, the file that it leads to is replaced. Temporary files that killed processes left behind
    are removed.

    Raises:
        OSError: As :func:`require_place`, or any other error of the system. It names ``target``.
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
                if os.name == "nt":  # Windows does not rename an open file
                    file.close()
                _patiently(lambda: temporary.replace(target))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; move it to ``target`` on success, remove it on failure.

    The previous folder at ``target`` is deleted only after the new one is complete. Check first that it may be
    replaced. If ``target`` is a link, the folder that it leads to is replaced. Temporary folders of killed processes
    are removed. If a process was killed just after it had put the old folder aside, that folder is restored first.

    Raises:
        OSError: The folder cannot be replaced (for example, it is a mount point or the working folder), or any other
            error of the system. It names ``target``.
        EnvironmentProblem: Another process is writing the folder.
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
                # A rename cannot replace a folder that is not empty. So move the old one aside: one of both always
                # exists.
                aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=_ASIDE))
                _patiently(lambda: target.replace(aside / _OLD))
            _patiently(lambda: temporary.replace(target))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if aside is not None and not _put_back(aside, target):
                with suppress(OSError):  # empty if the old folder could not be moved
                    aside.rmdir()
            raise
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)  # the new folder is complete; the next run tries again


def _patiently(move: Callable[[], object]) -> None:
    """Rename a file. On Windows, retry for some seconds while another program has it open.

    A virus scanner opens files that were just written, and an image viewer opens what it shows. Neither may end a
    night of training.
    """
    for wait in _WAITS if os.name == "nt" else ():
        try:
            move()
            return
        except PermissionError:
            time.sleep(wait)
    move()


def require_place(target: Path) -> None:
    """Raise an OSError if no file can be written at ``target``, before any work is done.

    Args:
        target: The file to be written. It need not exist, and neither need its folders.

    Raises:
        OSError: A folder or a device is at ``target``, a folder above it cannot be made, or writing is not permitted.
            The error names the path at fault.
    """
    target = _followed(target)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "It is a device, pipe or socket", str(target))
    _require_way(target)


def _require_way(target: Path) -> None:
    """Raise an OSError if nothing can be made at ``target``, which is absent or may be replaced."""
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
    """Raise an OSError if :func:`atomic_folder` cannot write ``target``, before any work is done.

    Args:
        target: The folder to be written or replaced. It need not exist, and neither need the folders above it.

    Raises:
        OSError: It names the path at fault.
    """
    _require_replaceable(_followed(target))


def _require_replaceable(target: Path) -> None:
    """Raise an OSError if a rename cannot or must not replace ``target``, before any work is done."""
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
    """Resolve ``target`` if it is a link or contains "..". The result always ends in a name.

    Raises:
        OSError: ".." follows a folder that does not exist. Such a path leads nowhere until the folder is made, and
            then to a place that no check has seen.
    """
    with suppress(OSError):
        os.lstat(target)  # raises ValueError for a NUL, where Path says that the file does not exist
    for at, part in enumerate(target.parts):
        if part == ".." and not (before := Path(*target.parts[:at])).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(before))
    if target.is_symlink() or not target.name or ".." in target.parts:
        return Path(os.path.realpath(target))  # Path.resolve raises if links form a circle
    return target


@contextmanager
def _told_as(given: Path, target: Path) -> Iterator[None]:
    """Make an OSError about a temporary path name the target instead, as the user wrote it."""
    try:
        yield
    except OSError as problem:
        hidden = str(target.parent / _prefix(target))
        if str(problem.filename).startswith(hidden) or (problem.filename is None and problem.errno in _FULL):
            problem.filename, problem.filename2 = str(given), None
        raise


def is_left(name: str) -> bool:
    """Return whether a hidden file or folder is one that facegen writes beside a target and a killed process leaves.

    Args:
        name: The name without its folder.
    """
    return _OURS.fullmatch(name) is not None


def _prefix(target: Path) -> str:
    return f".{short_name(target.name)}."


def _new_part(target: Path) -> tuple[IO[bytes], Path]:
    """Open a new hidden file beside ``target``. While it is open, no other process removes it."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_PART)
        file = os.fdopen(handle, "r+b")
        if claim(file, Path(name)):
            return file, Path(name)
        file.close()


def _left(target: Path, suffix: str) -> list[Path]:
    """Return the hidden files and folders that belong to ``target``, newest first."""
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
        pass  # the folder cannot be listed, or another process was faster; leftovers do no harm


def _settle(target: Path) -> None:
    """Clean up what killed processes left of a folder. Call it only while holding the folder's lock."""
    for aside in _left(target, _ASIDE):
        if _put_back(aside, target):
            console.warn(f"{target} had been put aside by a process that was killed; it is back in its place.")
        shutil.rmtree(aside, ignore_errors=True)
    for part in _left(target, _PART):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def _put_back(aside: Path, target: Path) -> bool:
    """Move an old folder that was put aside back to its empty place, and return whether that was done."""
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
    """Write ``value`` as :func:`facegen.printable.json_text`, atomically.

    Raises:
        ValueError: ``value`` contains NaN or infinity.
    """
    write_text(path, json_text(value) + "\n")


def write_sealed_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON object together with the sha256 of its fields, for :func:`read_sealed_json`."""
    write_json(path, {**fields, "sha256": fields_sha256(fields)})


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read the fields that :func:`write_sealed_json` wrote.

    Raises:
        Damaged: The fields do not match their sha256.
        OSError: The file cannot be read.
    """
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
    """Return the folder of downloaded weights and reference statistics: ``$FACEGEN_CACHE``, else the platform's cache.

    Raises:
        EnvironmentProblem: Neither is known, as in a container whose user has no home folder.
    """
    if chosen := os.environ.get("FACEGEN_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):  # honoured on every platform
        return Path(base) / "facegen"
    try:
        home = Path.home()
    except RuntimeError as problem:
        raise EnvironmentProblem(
            "This user has no home folder, so there is no cache folder.", "Set FACEGEN_CACHE to a folder."
        ) from problem
    old = home / ".cache" / "facegen"  # the place on Linux, and formerly on macOS too
    if old.is_dir():
        return old
    from platformdirs import user_cache_path

    return user_cache_path("facegen", appauthor=False, opinion=False)
