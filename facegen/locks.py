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
#: Bytes of a name that a hidden file's own name is made of: file systems take 255, and something is added to it.
_LONGEST = 200


def short_name(name: str) -> str:
    """``name`` itself, or for a long one its beginning and a hash, so that a hidden file can be called by it."""
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    return f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def claim(file: IO[bytes], path: Path) -> bool:
    """Whether the open file is still the one at ``path``; no other process removes it by then, until it is closed.

    Where the file system has no locks, none can be claimed, and :func:`remove_unclaimed` removes none.
    """
    if os.name == "nt":  # an open file cannot be removed, and a locked one not be written
        return True
    with suppress(OSError):
        _lock(file)
    return _is_still(file, path)


def remove_unclaimed(path: Path) -> None:
    """Remove a file that no process has claimed, as one has that is dead by now."""
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

    It yields whether it is held.

    The lock is the operating system's, on a hidden file beside ``path`` (``.NAME.lock``) that holds the process's
    number. The system lets go of it however the process ends, ``kill -9`` included, so that none is ever left locked.
    Where the file system has no locks, or the folder cannot be written to, the block runs without one.

    Args:
        path: what one process alone may use.
        purpose: what it does with it, as in ``"trains into run"``; it stands after "Another process (number 123)".
        wait: wait for the other process, and say so, instead of refusing.

    Raises:
        EnvironmentProblem: another process holds the lock.
    """
    path = path.absolute()
    lock = path.parent / f".{short_name(path.name)}.lock"
    file = _locked(lock, purpose, wait)
    try:
        yield file is not None
    finally:
        if file is not None:
            # Unlinked while it is held: whoever has opened it meanwhile sees that it is another file by now.
            lock.unlink(missing_ok=True)
            file.close()


def _locked(lock: Path, purpose: str, wait: bool) -> IO[bytes] | None:
    """The open lock file; None where nothing can be locked there."""
    is_told = False
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a+b")
        except OSError:  # read-only, say: what has to be written there will fail by itself, in words
            return None
        try:
            _lock(file)
        except BlockingIOError:
            holder = _holder(file)
            file.close()
            said = f"Another process{holder} {purpose}."
            if not wait:
                raise EnvironmentProblem(said, "Wait until it has ended, or end it.") from None
            if not is_told:
                console.info(f"{said} Waiting for it to end.")
                is_told = True
            time.sleep(_EVERY)
            continue
        except OSError:  # a file system without locks
            file.close()
            return None
        if _is_still(file, lock):
            with suppress(OSError):  # a full disk: it is locked all the same
                os.truncate(file.fileno(), 0)
                os.write(file.fileno(), str(os.getpid()).encode())
            return file
        file.close()  # its last holder has unlinked it since it was opened


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
        file.seek(1 << 30)  # past the number, which stays readable
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as problem:
            raise BlockingIOError from problem

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        """BlockingIOError where another process has it; another OSError where there are no locks."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
