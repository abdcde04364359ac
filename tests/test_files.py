from __future__ import annotations

import hashlib
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from facegen.errors import EnvironmentProblem
from facegen.files import (
    Damaged,
    atomic_folder,
    atomic_path,
    cache_folder,
    read_arrays,
    read_sealed_json,
    require_whole_zip,
    sha256_file,
    write_json,
    write_sealed_json,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"] and target.read_text() == "old"


def test_a_failed_folder_leaves_the_old_one_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in target.iterdir()] == ["old"]


def test_a_finished_folder_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with atomic_folder(target) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in target.iterdir()] == ["new"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_path(tmp_path / "ours") as temporary:
        temporary.write_text("x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


class TestCacheFolder:
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("FACEGEN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))

    def test_is_the_one_that_is_named_before_the_platforms(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "facegen"
        monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "named"))
        assert cache_folder() == tmp_path / "named"

    def test_is_the_platforms(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **words: tmp_path / "Caches" / name)
        assert cache_folder() == tmp_path / "Caches" / "facegen"

    def test_is_the_old_one_where_that_was_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platformdirs, "user_cache_path", None)
        (tmp_path / ".cache" / "facegen").mkdir(parents=True)
        assert cache_folder() == tmp_path / ".cache" / "facegen"

    def test_of_a_user_without_a_home_is_to_be_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", home)
        with pytest.raises(EnvironmentProblem, match="no home folder"):
            cache_folder()

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux's")
    def test_is_in_dot_cache_on_linux(self, tmp_path: Path) -> None:
        assert cache_folder() == tmp_path / ".cache" / "facegen"


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with one bit flipped, here and there."""
    for at in range(0, len(data), 5):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def test_sealed_json_is_what_was_written(tmp_path: Path) -> None:
    path, fields = tmp_path / "x.json", {"value": 1.25, "draws": [0.1, 2.0], "n": None}
    write_sealed_json(path, fields)
    assert read_sealed_json(path) == fields
    for data in flipped(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(Damaged):
            read_sealed_json(path)


def test_arrays_are_those_that_were_written(tmp_path: Path) -> None:
    """But for what a zip's directory says of names, which a reader asks for by name."""
    path, arrays = tmp_path / "x.npz", {"mu": np.arange(3.0), "name": np.array("x")}
    np.savez(path, **arrays)
    assert read_arrays(path).keys() == arrays.keys()
    damaged = 0
    for data in flipped(path.read_bytes()):
        path.write_bytes(data)
        try:
            with path.open("rb") as file:
                require_whole_zip(file)
            found = read_arrays(path)
        except Damaged:
            damaged += 1
            continue
        assert all(np.array_equal(array, arrays[name]) for name, array in found.items() if name in arrays)
    assert damaged > 50


class TestLeftovers:
    """What ``kill -9`` leaves beside a target."""

    def test_of_a_file_are_removed_but_for_one_that_is_being_written(self, tmp_path: Path) -> None:
        target = tmp_path / "x.txt"
        (tmp_path / ".x.txt.abcdefgh.part").touch()
        (tmp_path / ".x.txt.mine.part").touch()
        with atomic_path(target) as first:
            with atomic_path(target) as second:
                assert first.exists() and second.exists()
            assert first.exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".x.txt.mine.part", "x.txt"]

    def test_of_a_folder_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        for name in (".folder.abcdefgh.part/new", ".folder.abcdefgh.old/old"):
            (tmp_path / name).mkdir(parents=True)
        with atomic_folder(tmp_path / "folder"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]

    def test_an_old_folder_without_a_new_one_is_put_back(self, tmp_path: Path) -> None:
        (tmp_path / ".folder.abcdefgh.old" / "old").mkdir(parents=True)
        (tmp_path / ".folder.abcdefgh.old" / "old" / "mine").touch()
        with pytest.raises(RuntimeError), atomic_folder(tmp_path / "folder"):
            raise RuntimeError
        assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks for rights to make links")
def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/folder")
    (tmp_path / "file").symlink_to("there/x")
    with atomic_folder(tmp_path / "link") as folder, atomic_path(tmp_path / "file"):
        (folder / "new").touch()
    assert (tmp_path / "there" / "folder" / "new").is_file() and (tmp_path / "there" / "x").is_file()
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").is_symlink()


def test_the_working_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for path in (Path(), Path(".."), tmp_path / "a"):
        with pytest.raises(OSError, match="working folder"), atomic_folder(path):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other limits")
def test_the_longest_name_is_written(tmp_path: Path) -> None:
    with atomic_path(tmp_path / ("한" * 85)), atomic_folder(tmp_path / ("n" * 255)):
        pass
    assert len(list(tmp_path.iterdir())) == 2
