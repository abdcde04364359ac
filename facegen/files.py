"""Files that are there whole or not at all, and content hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facegen.errors import EnvironmentProblem
from facegen.printable import json_text

_CHUNK = 1 << 20

#: What the stages take for a path.
StrPath = str | os.PathLike[str]


def optional_path(path: StrPath | None) -> Path | None:
    """A path where one was given."""
    return None if path is None else Path(path)


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hex digits; reads in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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
