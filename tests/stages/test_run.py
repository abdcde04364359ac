from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import Result

from facegen.data.images import ImageCollection
from facegen.data.origin import Origin
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score
from facegen.stages.run import run

Run = Callable[..., Result]


class MeanColour:
    """Stands in for the scorer, whose network would take a minute: the distance of the mean colour from grey."""

    key, description, target = "mean-colour", "mean colour", None
    reference = Reference(Path("dataset"), FrechetStatistics(24, np.zeros(1), np.eye(1)), "0" * 64, "24 images")

    def no_room(self, n: int) -> None:
        return None

    def score_collection(self, collection: ImageCollection) -> Score:
        return self.score(image for _, image in collection)

    def score(self, images: Iterable[np.ndarray]) -> Score:
        means = np.array([image.mean() for image in images])
        value = float(abs(means.mean() - 127.5))
        return Score("fd", value, len(means), 1, "mean-colour", "0" * 64, 24, "0" * 64)


def test_the_chain_ends_in_a_graded_tarball_and_a_second_time_skips_it_all(
    facegen: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("fid", "grade"):
        monkeypatch.setattr(f"facegen.stages.{stage}.open_scorer", lambda *words, **options: MeanColour())
    work = tmp_path / "work"
    words = ["run", "synthetic:24", "--work", work, "--recipe", recipe, "--student-number", "s123"]
    first = facegen(*words)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.strip() == str(work / "submissions" / "s123.tar.gz")
    score = json.loads((work / "score.json").read_text())
    (row,) = json.loads((work / "grades" / "leaderboard.json").read_text())["submissions"]
    assert (row["student_number"], row["status"], row["score"]) == ("s123", "graded", score)
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}

    second = facegen(*words)
    assert second.exit_code == 0
    for words_said in ("lready prepared", "Already trained", "Already sampled", "Already scored", "Already packed"):
        assert words_said in second.stderr
    # The leaderboard is written anew each time; all else is left as it was.
    changed = {path.relative_to(work).parts[0] for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed <= {"grades"}


def test_a_changed_image_is_drawn_again(
    facegen: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("fid", "grade"):
        monkeypatch.setattr(f"facegen.stages.{stage}.open_scorer", lambda *words, **options: MeanColour())
    work = tmp_path / "work"
    words = ["run", "synthetic:24", "--work", work, "--recipe", recipe]
    facegen(*words)
    (work / "images" / "0001.png").write_bytes((work / "images" / "0002.png").read_bytes())
    second = facegen(*words)
    assert "Already trained" in second.stderr
    # The images are not what the generator drew, so they are drawn again; they are then the same as ever.
    assert "Already sampled" not in second.stderr and "Already scored" in second.stderr


@pytest.mark.parametrize(("device", "recipe"), [("cpu", "quick"), ("cuda", "dcgan"), ("mps", "dcgan")])
def test_the_recipe_is_longer_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, recipe: str
) -> None:
    class Begun(Exception):
        pass

    def train(*_: object, recipe: str, **__: object) -> None:
        raise Begun(recipe)

    monkeypatch.setattr("facegen.stages.run.choose_device", torch.device)
    monkeypatch.setattr("facegen.stages.run.prepare", lambda *_: None)
    monkeypatch.setattr("facegen.stages.run.train", train)
    with pytest.raises(Begun, match=recipe):
        run(work=tmp_path, device=device)


@pytest.mark.parametrize(("network", "warned"), [("mean-colour", True), ("other", False)])
def test_the_closing_words_name_the_network_that_the_generator_was_trained_against(
    facegen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, warned: bool
) -> None:
    score = MeanColour().score([np.zeros(1)]).with_origin(Origin(None, network))
    ran = SimpleNamespace(score=score, grid="grid", tarball="tarball", leaderboard=SimpleNamespace(html="html"))
    monkeypatch.setattr("facegen.stages.run.run", lambda *words, **options: ran)
    outcome = facegen("run", "--work", tmp_path)
    assert f"generator trained against {network}" in outcome.stderr
    assert ("the value flatters" in outcome.stderr) is warned
