"""A class that several processes grade: whoever does it, and in however many parts, the board is the same."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.errors import InputError
from facegen.stages.grade import grade
from facegen.submission.writer import write_tarball

CommandLine = Callable[..., Result]
EXTRACTOR = """
import numpy as np

def features(images):
    flat = np.stack(images).reshape(len(images), -1)
    return np.ascontiguousarray(flat[:, ::1999]).astype(np.float32)
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three submissions that differ, one that is damaged, a reference of 60 images, and a quick extractor."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "toy.py").write_text(EXTRACTOR, encoding="utf-8")
    (folder / "submissions").mkdir()
    for number in range(3):
        coarse = np.random.default_rng(number).integers(0, 200 + 20 * number, (1000, 8, 8, 3), dtype=np.uint8)
        files = {}
        for place, small in enumerate(coarse):
            files[f"{place:04d}.png"] = folder / f"{place:04d}.png"
            image = Image.fromarray(small.repeat(8, axis=0).repeat(8, axis=1))
            image.save(files[f"{place:04d}.png"], compress_level=1)
        write_tarball(files, folder / "submissions" / f"s{number}.tar.gz")
    (folder / "submissions" / "bad.tar.gz").write_bytes(b"\x1f\x8b nonsense")
    with new_dataset(folder / "reference", 64) as writer:
        pixels = np.random.default_rng(9).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
        writer.append(pixels.repeat(16, axis=1).repeat(16, axis=2), [f"{i}.jpg" for i in range(60)], ["train"] * 60)
        writer.finish({})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("FACEGEN_CACHE", str(folder / "facegen-cache"))
        yield folder


def options(course: Path, out: str) -> dict[str, Any]:
    return {"reference": course / "reference", "extractor": "toy:features", "device": "cpu", "out": course / out}


def board(out: Path) -> list[bytes]:
    return [(out / f"leaderboard.{kind}").read_bytes() for kind in ("csv", "json", "html")]


@pytest.fixture(scope="module")
def whole(course: Path) -> list[bytes]:
    """The board of one process."""
    grade(course / "submissions", workers=1, **options(course, "whole"))
    rows = json.loads((course / "whole" / "leaderboard.json").read_text(encoding="utf-8"))["submissions"]
    assert [row["status"] for row in rows] == ["graded"] * 3 + ["rejected"]
    return board(course / "whole")


def test_processes_that_read_ahead_change_nothing(course: Path, whole: list[bytes]) -> None:
    grade(course / "submissions", workers=2, **options(course, "ahead"))
    assert board(course / "ahead") == whole


def test_shards_are_merged_to_the_board_of_one_run(course: Path, whole: list[bytes]) -> None:
    about = options(course, "shards")
    first = grade(course / "submissions", shard=(1, 2), **about)
    assert first.json == course / "shards" / "shard-1-of-2" / "leaderboard.json"
    assert sorted(row.outcome.file for row in first.leaderboard.rows) == ["bad.tar.gz", "s1.tar.gz"]
    with pytest.raises(
        InputError, match=r"2 of 4 submissions are not graded in .*'s0\.tar\.gz', 's2\.tar\.gz'\. .*'2/2'"
    ):
        grade(course / "submissions", merge=True, **about)
    grade(course / "submissions", shard=(2, 2), **about)
    grade(course / "submissions", merge=True, **about)
    assert board(course / "shards") == whole


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_what_is_no_shard(shard: str, course: Path, facegen: CommandLine) -> None:
    outcome = facegen("grade", course, "--reference", course, "--shard", shard)
    assert outcome.exit_code == 2 and "is not a shard. Write 3/8 for the third of eight shards." in outcome.stderr


def command(course: Path, out: str, *more: object) -> list[str]:
    words = ["grade", course / "submissions", "--reference", course / "reference", "--extractor", "toy:features"]
    return [sys.executable, "-m", "facegen", *map(str, [*words, "--out", course / out, "--device", "cpu", *more])]


def environment(course: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(course), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


@pytest.mark.skipif(os.name == "nt", reason="gloo's ranks are tested on POSIX")
def test_two_ranks_write_the_board_of_one(course: Path, whole: list[bytes]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        subprocess.Popen(
            command(course, "ranks"),
            env=environment(course, RANK=rank, LOCAL_RANK=rank, **about),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    ends = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ends
    assert board(course / "ranks") == whole
    assert "graded" in ends[0][0] or "s1" in ends[0][0]
    assert ends[1][0] == ""  # one of them tells


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_with_workers_loses_nothing_that_was_graded(course: Path, whole: list[bytes]) -> None:
    """Killed when the first submission's features are there: they are not taken again, and no worker is left."""
    process = subprocess.Popen(
        command(course, "killed", "--workers", "2"), env=environment(course), stderr=subprocess.DEVNULL
    )
    cache, end = course / "killed" / "cache", time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end and not list(cache.glob("features-*.npz")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in cache.glob("features-*.npz")}
    assert before
    grade(course / "submissions", **options(course, "killed"))
    after = {path.name: path.stat().st_mtime_ns for path in cache.glob("features-*.npz")}
    assert len(after) == 3 and {name: after[name] for name in before} == before
    assert board(course / "killed") == whole
