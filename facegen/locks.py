"""One process at a time: a lock file that names the process that holds it."""

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

#: Seconds between two tries of one that waits.
_EVERY = 0.2
#: Seconds after which everyone tries once more: who asks (:func:`is_held`) may have had a free lock just then.
_ASKED = 0.02
#: Bytes of a name that a hidden file's own name is made of: file systems take 255, and something is added to it.
_LONGEST = 200


def short_name(name: str) -> str:
    """``name`` itself, or for a long one its beginning and a hash, so that a hidden file can be called by it."""
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    return f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def claim(file: IO[bytes], path: Path) -> bool:
    """Claim an open file until it is closed: :func:`remove_unclaimed` of other processes leaves it.

    False where it is not the one at ``path`` any more. Where the file system has no locks, no file is ever removed.
    """
    if os.name == "nt":  # an open file cannot be removed, and a locked one not be written
        return True
    with suppress(OSError):
        _lock(file)
    return _is_still(file, path)


def remove_unclaimed(path: Path) -> None:
    """Remove a file unless a process that still runs has claimed it."""
    try:
        if os.name != "nt":
            with path.open("rb+") as file:
                _lock(file)
                path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass  # it is claimed, or there are no locks, or it is another user's


@contextmanager
def sole_use(path: Path, purpose: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of ``path``, a file or folder that need not be there yet, until the block ends.

    It yields whether the lock is held.

    The lock is the operating system's, on a hidden file beside ``path`` (``.NAME.lock``) that holds the process's
    number. The system lets go of it however the process ends, ``kill -9`` included, so that none is ever left locked.
    Where the file system has no locks, or the folder cannot be written to, the block runs without one. Folders that
    were made for it are removed afterwards if they are empty.

    Args:
        path: what one process alone may use.
        purpose: what it does with it, as in ``"trains into run"``; it stands after "Another process (number 123)".
        wait: wait for the other process, and say so, instead of refusing.

    Raises:
        EnvironmentProblem: another process holds the lock.
    """
    path = Path(os.path.realpath(path))  # by another name it is the same
    lock = _lock_file(path)
    made = [folder for folder in (lock.parent, *lock.parent.parents) if not os.path.lexists(folder)]
    try:
        file = _locked(lock, purpose, wait)
        try:
            yield file is not None
        finally:
            if file is not None:
                # Unlinked while it is held: whoever has opened it meanwhile sees that it is another file by now.
                _remove(lock)
                file.close()
    finally:
        with suppress(OSError):  # the first in which something is
            for folder in made:
                folder.rmdir()


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock of ``path`` (:func:`sole_use`); None where that cannot be known.

    It cannot where the file system has no locks, or where a lock file could not be made. Nothing is written or kept: a
    lock that a killed process left is tried and let go of at once, and :func:`sole_use` is not refused for that.
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
    """Whether what is in a folder can be locked, as the folder itself can then be too. A folder that is gone cannot."""
    if os.name == "nt":  # always; and no folder can be opened
        return folder.is_dir()
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    return _is_locked(number) is not None


def _is_locked(number: int) -> bool | None:
    """Whether another process has locked an open file, which is closed; None where there are no locks."""
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
    """The hidden file beside a real path that is locked in its place."""
    return path.parent / f".{short_name(path.name)}.lock"


def _locked(lock: Path, purpose: str, wait: bool) -> IO[bytes] | None:
    """The open lock file; None where nothing can be locked there."""
    is_told, tries = False, 0
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = _opened(lock)
        except OSError:  # read-only, say: what has to be written there will fail by itself, in words
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
        except OSError:  # a file system without locks
            if not os.fstat(file.fileno()).st_size:
                _remove(lock)  # it was made just now, and holds nothing
            file.close()
            return None
        if _is_still(file, lock):
            with suppress(OSError):  # on a full disk it is held all the same; who is refused is told no number
                if file.writable():
                    os.truncate(file.fileno(), 0)
                    os.write(file.fileno(), str(os.getpid()).encode())
            return file
        file.close()  # its last holder has unlinked it since it was opened


def _opened(lock: Path) -> IO[bytes]:
    """The lock file, open without a buffer: one that kept what a full disk refused would try again as it is closed.

    A link is not followed: what it leads to is no lock of ours.
    """
    try:
        return open(lock, "a+b", buffering=0, opener=_open_itself)
    except PermissionError:  # another user's, which can be locked all the same
        return open(lock, "rb", buffering=0, opener=_open_itself)


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _remove(lock: Path) -> None:
    """Remove a lock file; one in another user's folder, or in one that is read-only by now, is in nobody's way."""
    with suppress(OSError):
        lock.unlink(missing_ok=True)


def _is_still(file: IO[bytes], lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except OSError:
        return False


def _holder(file: IO[bytes]) -> str:
    try:
        file.seek(0)
        number = file.read(20).decode("ascii", "ignore").strip()
    except OSError:  # Windows locks the bytes themselves
        number = ""
    return f" (number {number})" if number.isdigit() else ""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        """BlockingIOError where another process has it; another OSError where there are no locks."""
        _lock_number(file.fileno())

    def _lock_number(number: int) -> None:
        os.lseek(number, 1 << 30, os.SEEK_SET)  # past the process's number, which stays readable
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except PermissionError as problem:
            raise BlockingIOError from problem

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        """BlockingIOError where another process has it; another OSError where there are no locks."""
        _lock_number(file.fileno())

    def _lock_number(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
