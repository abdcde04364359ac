"""Results as a notebook shows them: whole, escaped, small, and as text where a file is gone."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facegen.checks.check import CheckResult
from facegen.data.dataset import new_dataset
from facegen.data.origin import Origin
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import Outcome
from facegen.grading.rows import LeaderboardRow
from facegen.notebook.cards import block, card, facts, film_file, fit, notes, picture, picture_file, place, table
from facegen.pictures.contact_sheet import save_png
from facegen.scoring.score import Score
from facegen.stages.arithmetic import ArithmeticResult
from facegen.stages.doctor import DoctorResult
from facegen.stages.grade import GradeResult, result_in
from facegen.stages.inspect import inspect
from facegen.stages.interpolate import InterpolateResult
from facegen.stages.pack import PackResult
from facegen.stages.plan import PlanResult
from facegen.stages.prepare import PrepareResult
from facegen.stages.run import RunResult
from facegen.stages.sample import SampleResult
from facegen.stages.timelapse import TimelapseResult
from facegen.stages.train import TrainResult
from facegen.submission.rules import Code, Rejection
from facegen.training.log import TrainingLog
from facegen.training.recipe import load_recipe

WILD = "<img src=x onerror=alert(1)>\u202e&\"'"
SCORE = Score("fid", 18.25, 1000, 2048, "inception-2015-12-05", "0" * 64, 162_770, "1" * 64, 20.0, True, 14.3, 0.2)


def board(folder: Path) -> GradeResult:
    rejected = Outcome("<b>.tar.gz", None, None, rejection=Rejection(Code.EMPTY, "There is nothing in <b>."))
    rows = (LeaderboardRow(rejected),)
    return result_in(Leaderboard(rows, {"name": "r", "n": 1, "sha256": ""}, "FID <of>", 20.0), folder)


def results(folder: Path) -> dict[str, object]:
    """One of each, with its files."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    with new_dataset(folder / "dataset", 16) as writer:
        writer.append(pixels, [f"{index}.png" for index in range(20)], ["train"] * 20)
        writer.finish({})
    (folder / "run" / "samples").mkdir(parents=True)
    for name in ("grid.png", "run/samples/kimg-000001.000.png"):
        save_png(folder / name, pixels[0])
    with TrainingLog(folder / "run", 0) as log:
        log.tick({"kimg": 1.0, "loss_d": 1.0, "loss_g": 1.0})
    for name in ("leaderboard.html", "s1.tar.gz"):
        (folder / name).touch()
    grid, generator = folder / "grid.png", folder / "run" / "last.safetensors"
    return {
        "prepare": PrepareResult(folder / "dataset", 20, 1, {"train": 20, "valid": 0}, "ab", 1.5, False),
        "train": TrainResult(folder / "run", generator, 1.0, 18.25, False),
        "sample": SampleResult(folder / "images", grid, 1000, generator, Origin("truncation 0.7", None)),
        "interpolate": InterpolateResult(grid, 8, 80),
        "arithmetic": ArithmeticResult(grid, 3),
        "timelapse": TimelapseResult(grid, 20, 64, (0.0, 160.0), 8.4),
        "pack": PackResult(folder / "s1.tar.gz", "ab", 1000, 8_000_000),
        "grade": board(folder),
        "run": RunResult(
            folder, generator, folder / "images", grid, SCORE, folder / "s1.tar.gz", board(folder), "quick", "cpu", True
        ),
    }


#: What stands in the card of each.
SHOWN = {
    "prepare": "<dt>train</dt><dd>20</dd>",
    "train": "<dt>best score</dt><dd>18.25</dd>",
    "sample": "<dt>sampled by</dt><dd>truncation 0.7</dd>",
    "interpolate": "Walks between 8 faces in 80 images",
    "arithmetic": "A sum of 3 faces",
    "timelapse": "64 faces from kimg 0 to 160",
    "pack": "<dt>size</dt><dd>8.00 MB</dd>",
    "grade": "There is nothing in &lt;b&gt;.",
    "run": "FID 18.25",
}
#: The file without which each is text.
NEEDED = {
    **{"prepare": "dataset/images.npy", "train": "run/log.jsonl", "pack": "s1.tar.gz", "grade": "leaderboard.html"},
    **dict.fromkeys(("sample", "interpolate", "arithmetic", "timelapse", "run"), "grid.png"),
}


class TestResults:
    @pytest.mark.parametrize("name", SHOWN)
    def test_a_card_has_what_was_found(self, name: str, tmp_path: Path) -> None:
        shown = results(tmp_path)[name]._repr_html_()  # type: ignore[attr-defined]
        assert SHOWN[name] in shown and (name in ("pack", "grade") or 'src="data:image/' in shown)

    @pytest.mark.parametrize("name", NEEDED)
    def test_a_file_that_is_gone_makes_it_text(self, name: str, tmp_path: Path) -> None:
        result = results(tmp_path)[name]
        (tmp_path / NEEDED[name]).unlink()
        assert result._repr_html_() is None  # type: ignore[attr-defined]

    def test_a_score_says_what_it_is_worth(self) -> None:
        metrics = {"precision": 0.71}
        shown = replace(SCORE, interval95=(17.5, 19.0), warnings=("Mind <this>.",), metrics=metrics)._repr_html_() or ""
        for part in ("FID 18.25", "17.50 to 19.00", "14.30 ± 0.20", "below the target of 20", "Mind &lt;this&gt;."):
            assert part in shown
        assert "<dt>precision</dt>" in shown

    def test_a_distance_that_is_not_fid_says_so(self) -> None:
        shown = replace(SCORE, metric="fd", extractor="effnet-lite0", target=None, passed=None)._repr_html_() or ""
        assert "(not FID)" in shown and "target" not in shown

    def test_a_check_stands_with_its_remedy(self) -> None:
        shown = DoctorResult((CheckResult("wrong", "It is <off>.", "Do so.", {}, "gpu"),))._repr_html_() or ""
        assert "1 checks: 1 wrong" in shown and "It is &lt;off&gt;. → Do so." in shown

    def test_a_plan_is_its_lines(self) -> None:
        words = ("It ends.",)
        plan = PlanResult(
            load_recipe("t4"),
            162_770,
            64,
            "cuda",
            "float32",
            0.0,
            500.0,
            30.0,
            3000.0,
            3,
            20.0,
            4.0,
            10**9,
            words,
        )
        shown = plan._repr_html_() or ""
        assert all(str(fit(line)) in shown for line in plan.lines())

    def test_a_network_is_its_table(self) -> None:
        shown = inspect("lenet5")._repr_html_() or ""
        assert "<td>features.c1</td><td>Conv2d</td><td>5×5</td>" in shown and "61,706" in shown


class TestEscaping:
    @given(text=st.text(st.sampled_from(WILD + "ab <>&\"'\x1b"), max_size=60))
    def test_no_word_of_a_card_is_markup(self, text: str) -> None:
        made = card(text, facts({text: text}), table((text,), [(text,)]), notes([text]), place(Path(f"a{text}"))) or ""
        frame = card("", facts({"": ""}), table(("",), [("",)]), notes([""]), place(Path("a"))) or ""
        assert tags(made) == tags(frame)

    def test_marks_that_turn_a_line_around_are_spelt_out(self) -> None:
        assert "\\u202e" in (card("a\u202eb") or "")


def tags(html: str) -> list[str]:
    """The names of the tags; a word's own would be among them."""
    return re.findall(r"<(/?\w+)", html)


class TestPictures:
    def embedded(self, html: str) -> Image.Image:
        found = re.search(r'src="data:image/\w+;base64,([^"]+)"', html)
        assert found
        return Image.open(io.BytesIO(base64.b64decode(found[1])))

    def test_a_small_file_is_embedded_as_it_is(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        save_png(tmp_path / "a.png", pixels)
        shown = picture_file(tmp_path / "a.png", WILD) or ""
        assert (np.asarray(self.embedded(shown)) == pixels).all() and tags(shown) == ["img"]

    def test_a_large_one_is_a_jpeg_of_a_few_hundred_kilobytes(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        image = Image.fromarray(noise).resize((1500, 1000))
        image.save(tmp_path / "a.png", compress_level=0)
        shown = picture_file(tmp_path / "a.png", "a") or ""
        assert (self.embedded(shown).format, self.embedded(shown).size) == ("JPEG", (1024, 683))
        assert len(shown) < 400_000

    def test_a_film_is_played_and_a_large_one_is_left_out(self, tmp_path: Path) -> None:
        film = tmp_path / "a.mp4"
        film.write_bytes(b"\0\0\0\x20ftypisom")
        assert tags(film_file(film, WILD) or "") == ["video", "/video"]
        film.write_bytes(b"\0\0\0\x20ftypisom" + bytes(2_000_000))
        assert film_file(film, "a") == "" and film_file(tmp_path / "b.mp4", "a") is None

    def test_pixels_are_embedded(self) -> None:
        assert self.embedded(picture(np.full((8, 8, 3), 200, np.uint8), "a")).size == (8, 8)

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG" + b"x" * 300_000, b"GIF8"])
    def test_what_is_no_picture_is_none(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(content)
        shown = picture_file(tmp_path / "a.png", "a")
        assert shown is None or content == b"GIF8"

    def test_a_part_that_is_none_makes_no_card(self) -> None:
        assert card("a", None) is None and card("a") is not None


def test_a_very_long_table_is_cut() -> None:
    made = table(("a",), [(number,) for number in range(1000)])
    assert made.count("<tr>") == 201 and "and 800 more" in made


@pytest.mark.parametrize(
    ("path", "begins"),
    [("a b/c.html", '<p><a href="a%20b/c.html"'), ("/a/b.html", "<p><code>"), ("../b.html", "<p><code>")],
)
def test_a_link_leads_below_the_notebook_alone(path: str, begins: str) -> None:
    assert place(Path(path)).startswith(begins)


def test_the_style_is_of_facegen_alone() -> None:
    rules = re.findall(r"([^{}]+)\{", str(block()).partition("<style>")[2].partition("</style>")[0])
    assert rules and all(each.strip().startswith(".facegen.facegen") for rule in rules for each in rule.split(","))
