"""Paths that no command can use: a sentence and exit code 2, nothing left behind and nothing lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.pretrained import generator_path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other paths")

#: Each command with one path left open.
LINES = (
    "prepare {} out --workers 0",
    "prepare images {} --workers 0",
    "prepare images out --workers 0 --partition {}",
    "prepare images out --workers 0 --preview {}",
    "train {} run",
    "watch {} --out o.html",
    "watch images --out {}",
    "timelapse {} o.gif",
    "timelapse images {}",
    "sample {} out",
    "sample g.safetensors {} -n 1",
    "interpolate {} o.png",
    "interpolate g.safetensors {}",
    "arithmetic {} o.png --add 1",
    "arithmetic g.safetensors {} --add 1",
    "fid {} --reference images",
    "fid images --reference {}",
    "pack {} 123",
    "pack images 123 --out {}",
    "grade {} --reference images",
    "grade {} --reference images --gradescope",
    "autograder --reference {}",
    "autograder --reference images --out {}",
    "inspect lenet5 --image {} --out o.png",
    "inspect lenet5 --image photo.png --out {}",
    "weights --from {}",
    "run images --work {}",
    "--config {} doctor",
)
PATHS = (
    "n" * 300 + ".png",
    "d/" * 2500 + "x.png",
    "/dev/null/x.png",
    "photo.png/x.png",
    "loop",
    "loop/x.png",
    "a\0b.png",
    "missing/../photo.png",
)


@pytest.mark.parametrize("line", LINES)
def test_a_path_that_cannot_be_used_is_said(
    line: str, facegen: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.safetensors").symlink_to(generator_path())
    Path("images").mkdir()
    Path("loop").symlink_to("loop")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("photo.png")
    before = {path: path.lstat().st_mtime for path in sorted(tmp_path.rglob("*"))}
    for path in PATHS:
        outcome = facegen(*(word.replace("{}", path) for word in line.split()))
        assert outcome.exit_code in (1, 2) and "rror: " in outcome.stderr, path[:20]
        assert {path: path.lstat().st_mtime for path in sorted(tmp_path.rglob("*"))} == before, path[:20]


@pytest.mark.parametrize(
    "line",
    [
        "sample g.safetensors images -n 1",
        "sample g.safetensors photographs -n 1",
        "interpolate g.safetensors grid.png",
        "interpolate g.safetensors grid.gif",
        "arithmetic g.safetensors grid.png --add 1",
        "inspect lenet5 --image grid.png --out grid.png",
        "prepare synthetic:3 out --workers 0 --preview grid.png",
        "pack images 123 --out .",
    ],
)
def test_what_is_not_facegens_is_not_replaced(
    line: str, facegen: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.safetensors").symlink_to(generator_path())
    Path("images").mkdir()
    mine = [Path("grid.png"), Path("grid.gif"), Path("123.tar.gz")]
    for path in mine:
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path, format="PNG")
    if "photographs" in line:
        mine = [Path("photographs/0001.png")]
        Path("photographs").mkdir()
        Path("grid.png").rename(mine[0])
    before = [path.read_bytes() for path in mine]
    outcome = facegen(*line.split())
    assert outcome.exit_code == 2 and any(
        words in outcome.stderr for words in ("is there already", "did not make it", "has not made it", "no grid.png")
    )
    assert [path.read_bytes() for path in mine] == before
