from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from facegen.checks import space

GB = 10**9


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with what Linux tells of its memory: 8 of 16 MiB are free, and there is no limit."""
    (tmp_path / "meminfo").write_text("MemTotal:  16384 kB\nMemFree:  1 kB\nMemAvailable:  8192 kB\n")
    (tmp_path / "limit").write_text("max\n")
    (tmp_path / "used").write_text("1048576\n")
    for name, file in (("MEMINFO", "meminfo"), ("CGROUP_LIMIT", "limit"), ("CGROUP_USED", "used")):
        monkeypatch.setattr(space, name, tmp_path / file)
    return tmp_path


def test_memory_is_linuxs(linux: Path) -> None:
    assert space.free_and_total_memory() == (8 * 2**20, 16 * 2**20)


def test_memory_ends_at_a_containers_limit(linux: Path) -> None:
    (linux / "limit").write_text(str(3 * 2**20))
    assert space.free_and_total_memory() == (2 * 2**20, 3 * 2**20)


def test_little_memory_is_told(linux: Path) -> None:
    found = space.check_memory()
    assert found.status == "warn" and "A run needs about 2 GB." in found.message


def test_enough_memory(linux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_and_total_memory", lambda: (3 * GB, 4 * GB))
    found = space.check_memory()
    assert (found.status, found.message) == ("ok", "3.0 of 4.0 GB of memory are free.")


def test_other_systems_do_not_tell(linux: Path) -> None:
    (linux / "meminfo").unlink()
    assert space.check_memory().status == "ok"


@pytest.mark.parametrize(
    ("work", "cache", "status", "word"),
    [(9, 9, "ok", ""), (1, 9, "warn", "CelebA"), (9, 1, "warn", "FACEGEN_CACHE")],
    ids=["enough", "work", "cache"],
)
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: int, cache: int, status: str, word: str) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "not" / "yet"))
    free = {Path.cwd(): work * GB, tmp_path: cache * GB}
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    found = space.check_disk()
    assert found.status == status and word in (found.remedy or "")
    assert found.details == {"working_folder": work * GB, "cache_folder": cache * GB}


def test_a_cache_folder_is_told_with_its_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "file").write_bytes(b"12345")
    found = space.check_cache()
    assert found.status == "ok" and found.details == {
        "folder": str(tmp_path),
        "files": 1,
        "bytes": 5,
        "parts": {"weights": 5},
    }
    assert found.message == f"{tmp_path} is writable and holds 0.0 MB in weights."
    assert [path.name for path in tmp_path.rglob("*")] == ["weights", "file"]


def test_a_cache_folder_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    found = space.check_cache()
    assert found.status == "ok" and "nothing yet" in found.message
    assert not (tmp_path / "cache").exists()


def test_a_cache_folder_that_is_a_file_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    found = space.check_cache()
    assert found.status == "wrong" and str(tmp_path / "cache") in found.message
    assert found.remedy is not None and "FACEGEN_CACHE" in found.remedy
