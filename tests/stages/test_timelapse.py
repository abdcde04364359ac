"""The faces of a run through training: frames, times, captions, and grids that do not fit."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.pictures.contact_sheet import contact_sheet, require_ours, save_png
from facegen.stages.timelapse import HOLD, schedule, timelapse
from facegen.training.recipe import load_recipe

Run = Callable[..., Result]


def grid_of(value: int, side: int = 8) -> np.ndarray:
    """A grid whose image i is grey of ``value`` + i."""
    images = np.full((64, side, side, 3), value, np.uint8) + np.arange(64, dtype=np.uint8)[:, None, None, None]
    return contact_sheet(images)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with grids at 10, 20, 40 and 80 kimg, grey of 10, 60, 110 and 160, and a score at 20."""
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "recipe.toml").write_text(load_recipe("quick").to_toml())
    (run / "log.jsonl").write_text(json.dumps({"kimg": 20.0, "score": 33.3, "metric": "FID"}) + "\n")
    for kimg, value in zip((10, 20, 40, 80), (10, 60, 110, 160), strict=True):
        save_png(run / "samples" / f"kimg-{kimg:010.3f}.png", grid_of(value))
    return run


class TestSchedule:
    def test_time_goes_by_the_logarithm(self) -> None:
        frames = schedule([10, 20, 40, 80], seconds=6, fps=10)
        lasts = [sum(frame.repeats for frame in frames if frame.grid == grid) for grid in range(4)]
        assert lasts == [20, 20, 20, round(HOLD * 10)]

    def test_each_becomes_the_next(self) -> None:
        frames = schedule([10, 20, 40, 80], seconds=6, fps=20)
        blends = [frame.blend for frame in frames if frame.grid == 1]
        assert blends[0] == 0 and blends == sorted(blends) and 0.5 < blends[-1] < 1
        assert len([blend for blend in blends if blend > 1e-6]) == 7  # in 0.4 seconds, the first of 8 being all itself

    def test_many_grids_in_a_short_time_skip(self) -> None:
        frames = schedule([float(kimg) for kimg in range(1, 200)], seconds=1, fps=10)
        assert sum(frame.repeats for frame in frames) == 10 + round(HOLD * 10) and frames[-1].grid == 198


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as animation:
        frames, times = [], []
        for place in range(animation.n_frames):
            animation.seek(place)
            frames.append(np.asarray(animation.convert("RGB"), int))
            times.append(animation.info["duration"])
        assert animation.info["loop"] == 0
    return frames, times


def test_a_gif_goes_from_the_first_grid_to_the_last(facegen: Run, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gif"
    done = facegen("timelapse", run, out, "--images", 4, "--seconds", 3)
    assert done.exit_code == 0 and done.stdout.strip() == str(out)
    frames, times = frames_of(out)
    assert sum(times) == 5000
    middle = [round(float(frame[60, 60, 0])) for frame in frames]
    assert abs(middle[0] - 10) <= 1 and abs(middle[-1] - 160) <= 1 and middle == sorted(middle)
    require_ours(out)


def test_the_first_images_are_taken(run: Path, tmp_path: Path) -> None:
    drawn = timelapse(run, tmp_path / "out.gif", images=1, seconds=1)
    frames, _ = frames_of(tmp_path / "out.gif")
    assert (drawn.grids, drawn.images, drawn.kimg, drawn.seconds) == (4, 1, (10.0, 80.0), 3.0)
    assert frames[0].shape[1] >= 256 and abs(frames[0][100, 100, 0] - 10) <= 1


def test_the_caption_is_below_the_faces(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facegen.stages import timelapse as stage

    said: list[tuple[str, str]] = []
    real = stage.captioned

    def heard(image: np.ndarray, left: str, right: str, *rest: Any, **more: Any) -> np.ndarray:
        said.append((left, right))
        page = real(image, left, right, *rest, **more)
        scaled = Image.fromarray(image).resize((page.shape[1],) * 2, Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(page[: page.shape[1]], np.asarray(scaled))
        return page

    monkeypatch.setattr(stage, "captioned", heard)
    timelapse(run, tmp_path / "out.gif", seconds=1)
    assert list(dict.fromkeys(said)) == [
        ("10 kimg", ""),
        ("20 kimg", "FID 33.3"),
        ("40 kimg", "FID 33.3 at 20 kimg"),
        ("80 kimg", "FID 33.3 at 20 kimg"),
    ]


class TestMp4:
    def test_it_plays_everywhere(self, run: Path, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        out = tmp_path / "out.mp4"
        timelapse(run, out, images=4, seconds=1, fps=10)
        with av.open(str(out)) as video:
            (stream,) = video.streams
            frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(stream)]
            codec = (stream.codec_context.name, stream.pix_fmt, stream.average_rate)
        assert codec == ("h264", "yuv420p", 10) and len(frames) == 10 + 20
        height, width, _ = frames[0].shape
        assert height % 2 == width % 2 == 0 and width >= 512
        assert abs(frames[0][100, 100] - 10).max() <= 3 and abs(frames[-1][100, 100] - 160).max() <= 3
        data = out.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), "players must find the index before the pictures"

    def test_it_is_facegens_to_replace_and_others_are_not(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        pytest.importorskip("av")
        out = tmp_path / "out.mp4"
        assert [facegen("timelapse", run, out, "--seconds", 1, "--fps", 4).exit_code for _ in range(2)] == [0, 0]
        out.write_bytes(out.read_bytes().replace(b"facegen", b"another"))
        done = facegen("timelapse", run, out)
        assert done.exit_code == 2 and "facegen did not make it" in done.stderr

    def test_without_pyav(self, facegen: Run, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name == "av":
                raise ImportError(name="av")
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
        done = facegen("timelapse", run, tmp_path / "out.mp4")
        assert done.exit_code == 2 and "pip install 'facegen[video]'" in done.stderr and ".gif" in done.stderr
        assert not (tmp_path / "out.mp4").exists()


class TestGridsThatDoNotFit:
    def test_damaged_and_other_ones_are_left_out_and_said(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        grids = run / "samples"
        (grids / "kimg-000011.000.png").write_bytes(b"no picture")
        save_png(grids / "kimg-000012.000.png", np.zeros((50, 40, 3), np.uint8))
        save_png(grids / "kimg-000013.000.png", grid_of(0, side=16))
        done = facegen("timelapse", run, tmp_path / "out.gif", "--seconds", 1)
        assert done.exit_code == 0 and "4 of 7 grids" in done.stderr
        assert "kimg-000011.000.png is left out: not an image" in done.stderr
        assert "kimg-000012.000.png is left out: its 40×50 pixels are not a grid" in done.stderr
        assert "1 grid is left out, such as" in done.stderr and "8×8 pixels" in done.stderr

    @pytest.mark.parametrize(("left", "said"), [(1, "one grid"), (0, "no grid")])
    def test_too_few(self, facegen: Run, run: Path, tmp_path: Path, left: int, said: str) -> None:
        for path in sorted((run / "samples").iterdir())[left:]:
            path.unlink()
        done = facegen("timelapse", run, tmp_path / "out.gif")
        assert done.exit_code == 2 and f"has {said} that can be read" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("out.avi",), "Use a name that ends in .mp4 or .gif"),
        (("out.gif", "--fps", 55), "A .gif cannot have 55 frames per second"),
        (("out.gif", "--images", 65), "--images"),
        (("out.gif", "--seconds", 0), "--seconds"),
    ],
)
def test_what_cannot_be_is_refused(facegen: Run, run: Path, words: tuple[object, ...], said: str) -> None:
    done = facegen("timelapse", run, *words)
    assert done.exit_code == 2 and said in done.stderr
