"""Writes a tarball that is the same bytes each time it is packed from the same images."""

from __future__ import annotations

import gzip
import io
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from facegen.submission.rules import LIMITS, Code, Limits, Rejection, is_junk, megabytes, shown

#: zlib's default; pinned, for Python's has changed. Another zlib (zlib-ng) may still compress to other bytes.
_COMPRESSION = 6


def find_files(folder: Path, limits: Limits = LIMITS) -> tuple[dict[str, Path], int]:
    """The files below ``folder`` by their path in the tarball (with ``/``, sorted), and how much junk was left out.

    Rejection ``too_many_members`` or ``too_large`` as soon as there is more than a submission may hold: someone may
    have named their home folder.
    """
    files: dict[str, Path] = {}
    junk = total = 0
    for file in _walk(folder):
        path = unicodedata.normalize("NFC", file.relative_to(folder).as_posix())
        if is_junk(path):
            junk += 1
            continue
        files[path] = file
        total += file.stat().st_size
        if len(files) > limits.members:
            raise Rejection(Code.TOO_MANY_MEMBERS, f"{folder} holds more than {limits.members:,} files.", limits)
        if total > limits.bytes:
            message = f"{folder} holds more than {megabytes(limits.bytes)} ({shown(path)}…)."
            raise Rejection(Code.TOO_LARGE, message, limits)
    return dict(sorted(files.items())), junk


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def write_tarball(files: dict[str, Path], target: Path) -> None:
    """Pack ``files`` (path in the archive: file on disk) in their order as a .tar.gz at ``target``.

    No dates, owners or permissions of this machine go in (mode 0644, all else zero), so the bytes depend on the
    names and the contents alone. Headers are ustar; a name that does not fit one (not ASCII, over 100 bytes)
    gets a pax header, as POSIX.1-2001 has it.
    """
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_COMPRESSION) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
    ):
        for name, file in files.items():
            data = file.read_bytes()
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(data), 0o644
            tar.addfile(header, io.BytesIO(data))
