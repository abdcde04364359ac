"""Resume an interrupted preparation from a folder beside the dataset, instead of from the first photograph.

The folder holds the pixels so far and a journal. The journal has one line per block of images, with the CRC-32 of the
block's pixels. A line is written after its pixels. Pixels that a killed process wrote only in part therefore have no
line, and are cut off.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from facegen.data.dataset import IMAGES, INDEX, MANIFEST, MOST_TEXT, DatasetWriter, Images, require_replaceable
from facegen.errors import EnvironmentProblem
from facegen.files import atomic_folder, read_regular
from facegen.locks import short_name

JOURNAL = "journal"


class Preparation:
    """A dataset in the making.

    Attributes:
        writer: The writer of the dataset.
        kept: The ``told`` argument of :meth:`append` for each block from an earlier run.
    """

    def __init__(self, folder: Path, size: int, key: str) -> None:
        """Continue what is in ``folder`` if it was made with the same ``key``; otherwise begin with an empty folder."""
        lines = _lines(folder / JOURNAL)
        if not lines or lines[0] != {"key": key}:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            lines = []
        self.writer = DatasetWriter(folder, size)
        self.kept: list[dict[str, Any]] = []
        for line in lines[1:]:
            if not self.writer.take_up(line["crc"], line["names"], line["splits"]):
                break
            self.kept.append(line["told"])
        self.writer.cut()
        self._journal: IO[bytes] = (folder / JOURNAL).open("wb")
        for kept in [{"key": key}, *lines[1 : 1 + len(self.kept)]]:
            self._write(kept)

    def append(self, images: Images, names: Sequence[str], splits: Sequence[str], told: dict[str, Any]) -> None:
        """Append a block of images. ``told`` is a JSON object that a later run gets back in :attr:`kept`."""
        self.writer.append(images, names, splits)
        self.writer.flush()
        self._write({"crc": zlib.crc32(images.tobytes()), "names": [*names], "splits": [*splits], "told": told})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line).encode()
        self._journal.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._journal.flush()

    def close(self) -> None:
        self._journal.close()
        self.writer.close()


@contextmanager
def resumed(path: Path, size: int, key: str) -> Iterator[Preparation]:
    """Yield a dataset in the making.

    It appears at ``path`` when ``finish`` was called and the block ends without an error. If the process is killed or
    interrupted, or a worker dies, the unfinished dataset stays beside ``path`` for the next run. Any other error
    removes it. Only one process at a time may prepare at ``path``.

    Args:
        path: The folder of the dataset.
        size: Side of its images in pixels.
        key: A hash of everything that the images depend on.

    Raises:
        InputError: ``path`` holds something other than a dataset.
    """
    require_replaceable(path)
    folder = folder_of(path)
    preparation = None
    try:
        preparation = Preparation(folder, size, key)
        yield preparation
        preparation.close()
        with atomic_folder(path) as finished:
            for name in (INDEX, MANIFEST, IMAGES):
                (folder / name).replace(finished / name)
    except (KeyboardInterrupt, EnvironmentProblem):
        if preparation is None or not preparation.writer.count:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if preparation is not None:
            preparation.close()
    shutil.rmtree(folder, ignore_errors=True)


def folder_of(path: Path) -> Path:
    """Return the folder of the unfinished dataset for ``path``."""
    return path.parent / f".{short_name(path.name)}.part"


def bytes_kept(path: Path) -> int:
    """Return the size of the unfinished dataset's pixels in bytes. They need no more space on the disk."""
    try:
        return (folder_of(path) / IMAGES).stat().st_size
    except OSError:
        return 0


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the intact lines of a journal from its beginning; none if there is no journal."""
    lines: list[dict[str, Any]] = []
    try:
        data = read_regular(path, MOST_TEXT)
    except OSError:
        return lines
    for line in data.split(b"\n")[:-1]:
        text = line[9:]
        if line[:9] != b"%08x " % zlib.crc32(text):
            break
        lines.append(json.loads(text))
    return lines
