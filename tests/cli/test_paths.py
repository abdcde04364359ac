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
    before = [path.read_bytes() for path in mine]
    outcome = facegen(*line.split())
    assert outcome.exit_code == 2 and "is there already" in outcome.stderr
    assert [path.read_bytes() for path in mine] == before


def test_its_own_is_replaced(facegen: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in ("0", "1"):
        assert facegen("sample", "--pretrained", "images", "-n", "1", "--seed", seed).exit_code == 0
        assert facegen("interpolate", generator_path(), "w.gif", "--rows", "2", "--steps", "2").exit_code == 0


def test_a_preview_from_before_they_said_so_is_replaced(
    facegen: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert facegen("sample", "--pretrained", "images", "-n", "3").exit_code == 0
    Image.open("grid.png").save("again.png")  # without its text
    Path("again.png").replace("grid.png")
    assert facegen("sample", "--pretrained", "images", "-n", "3").exit_code == 0
