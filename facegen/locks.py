"""Locks between processes: a lock file that names the process that holds it."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from facegen import console
from facegen.errors import EnvironmentProblem

#: Seconds between two attempts of a process that waits.
_EVERY = 0.2
#: Seconds after which a refused process tries once more: :func:`is_held` may have held a free lock for a moment.
_ASKED = 0.02
#: Maximum length of the name that a hidden file's name is built from, in bytes. File systems allow 255 in all.
_LONGEST = 200


def short_name(name: str) -> str:
    """Return ``name``, or for a long name its beginning and a hash, so that a hidden file can be named after it."""
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    return f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def claim(file: IO[bytes], path: Path) -> bool:
    """Claim an open file until it is closed, so that :func:`remove_unclaimed` of other processes leaves it alone.

    Returns False if the file at ``path`` is another one by now. On a file system without locks, no file is ever
    removed.
    """
    if os.name == "nt":  # Windows does not remove an open file, and a locked one could not be written
        return True
    with suppress(OSError):
        _lock(file)
    return _is_still(file, path)


def remove_unclaimed(path: Path) -> None:
    """Remove a file unless a running process has claimed it."""
    try:
        if os.name != "nt":
            with path.open("rb+") as file:
                _lock(file)
                path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass  # the file is claimed, there are no locks, or it belongs to another user


@contextmanager
def sole_use(path: Path, purpose: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of ``path`` until the block ends, and yield whether it is held.

    ``path`` is a file or folder that need not exist yet. The lock is the operating system's, on the hidden file
    ``.NAME.lock`` beside it, which contains the process number. The system releases it however the process ends, even
    by ``kill -9``, so no stale lock remains. If the file system has no locks, or the folder is not writable, the
    block runs without a lock. Empty folders that were made for the lock file are removed afterwards.

    Args:
        path: The file or folder that one process at a time may use.
        purpose: What this process does with it, such as ``"trains into run"``. It follows "Another process (number
            123)".
        wait: Wait for the other process, and say so, instead of refusing.

    Raises:
        EnvironmentProblem: Another process holds the lock.
    """
    path = Path(os.path.realpath(path))  # the same file can have several names
    lock = _lock_file(path)
    made = [folder for folder in (lock.parent, *lock.parent.parents) if not os.path.lexists(folder)]
    try:
        file = _locked(lock, purpose, wait)
        try:
            yield file is not None
        finally:
            if file is not None:
                _let_go(file, lock)
    finally:
        with suppress(OSError):  # stops at the first folder that is not empty
            for folder in made:
                folder.rmdir()


def is_held(path: Path) -> bool | None:
    """Return whether a process holds the lock of ``path`` (:func:`sole_use`). None if that cannot be known.

    It cannot be known on a file system without locks, or where a lock file could not be made. Nothing is written. A
    stale lock file is locked for a moment and released, which does not make :func:`sole_use` refuse.
    """
    path = Path(os.path.realpath(path))
    try:
        number = _open_itself(str(_lock_file(path)), os.O_RDONLY)
    except FileNotFoundError:
        return False if _has_locks(path) and os.access(path.parent, os.W_OK) else None
    except OSError:
        return None
    return _is_locked(number)


def _has_locks(folder: Path) -> bool:
    """Return whether files in a folder can be locked, by a test on the folder. A missing folder has no locks."""
    if os.name == "nt":  # Windows always has locks, and a folder cannot be opened there
        return folder.is_dir()
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    return _is_locked(number) is not None


def _is_locked(number: int) -> bool | None:
    """Return whether another process has locked an open file, then close it. None if there are no locks."""
    try:
        _lock_number(number)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(number)
    return False


def _lock_file(path: Path) -> Path:
    """Return the hidden file that is locked in place of a real path."""
    return path.parent / f".{short_name(path.name)}.lock"


def _locked(lock: Path, purpose: str, wait: bool) -> IO[bytes] | None:
    """Return the open lock file, or None if nothing can be locked there."""
    is_told, tries = False, 0
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = _opened(lock)
        except OSError:  # for example read-only; what must be written there will fail with its own message
            return None
        try:
            _lock(file)
        except BlockingIOError:
            holder = _holder(file)
            file.close()
            said = f"Another process{holder} {purpose}."
            tries += 1
            if tries == 1:
                time.sleep(_ASKED)
                continue
            if not wait:
                raise EnvironmentProblem(said, "Wait until it has ended, or end it.") from None
            if not is_told:
                console.info(f"{said} Waiting for it to end.")
                is_told = True
            time.sleep(_EVERY)
            continue
        except OSError:  # the file system has no locks
            if not os.fstat(file.fileno()).st_size:
                _remove(lock)  # it was just made, and locks nothing
            file.close()
            return None
        if _is_still(file, lock):
            with suppress(OSError):  # the lock holds on a full disk too; only the process number is missing
                if file.writable():
                    os.ftruncate(file.fileno(), 0)
                    os.write(file.fileno(), str(os.getpid()).encode())
            return file
        file.close()  # the last holder has unlinked it since it was opened


def _opened(lock: Path) -> IO[bytes]:
    """Open the lock file without a buffer: a buffer would write again on closing what a full disk has refused.

    Links are not followed, because what they lead to is not a lock of facegen's.
    """
    try:
        return open(lock, "a+b", buffering=0, opener=_open_itself)
    except PermissionError:  # it belongs to another user, but can be locked
        return open(lock, "rb", buffering=0, opener=_open_itself)


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _let_go(file: IO[bytes], lock: Path) -> None:
    """Remove the lock file, then release it. A process that opened it in between sees that it was replaced.

    Windows does not remove open files, so there the order is reversed, and a file that another process has opened
    stays.
    """
    if os.name == "nt":
        file.close()
    _remove(lock)
    file.close()


def _remove(lock: Path) -> None:
    """Remove a lock file. One in a folder that is not writable does no harm and stays."""
    with suppress(OSError):
        lock.unlink(missing_ok=True)


def _is_still(file: IO[bytes], lock: Path) -> bool:
    """Return whether the open file is still the one at ``lock``. On Windows, open files are not removed."""
    if os.name == "nt":
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except OSError:
        return False


def _holder(file: IO[bytes]) -> str:
    try:
        file.seek(0)
        number = file.read(20).decode("ascii", "ignore").strip()
    except OSError:  # Windows locks the content itself
        number = ""
    return f" (number {number})" if number.isdigit() else ""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        """Lock an open file.

        Raises:
            BlockingIOError: Another process has locked it.
            OSError: There are no locks.
        """
        _lock_number(file.fileno())

    def _lock_number(number: int) -> None:
        os.lseek(number, 1 << 30, os.SEEK_SET)  # behind the process number, which stays readable
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except PermissionError as problem:
            raise BlockingIOError from problem

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        """Lock an open file.

        Raises:
            BlockingIOError: Another process has locked it.
            OSError: There are no locks.
        """
        _lock_number(file.fileno())

    def _lock_number(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
