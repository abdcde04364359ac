from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from facegen.files import Damaged, NoRegularFile
from facegen.held_file import HeldFile


def test_what_is_hashed_is_what_is_read_whatever_happens_to_the_name(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"first")
    other.write_bytes(b"second")
    held = HeldFile(path)
    other.replace(path)
    assert (held.read(), held.size, held.sha256()) == (b"first", 5, hashlib.sha256(b"first").hexdigest())
    path.unlink()
    assert held.sha256() == hashlib.sha256(b"first").hexdigest()


def test_a_file_that_is_written_to_is_no_longer_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    held = HeldFile(path)
    with path.open("ab") as file:
        file.write(b" and more")
    with pytest.raises(Damaged, match="it changed while it was read"):
        held.sha256()


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for name in ("pipe", "link"):
        with pytest.raises(NoRegularFile):
            HeldFile(tmp_path / name)


def test_it_is_closed_with_its_last_reader(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"first")
    held = HeldFile(tmp_path / "file")
    descriptor = held.file.fileno()
    del held
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
