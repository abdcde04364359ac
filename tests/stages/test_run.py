from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from facegen.data.images import ImageCollection
from facegen.data.origin import Origin
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score
from facegen.scoring.scorer import Measured
from facegen.stages.run import RunResult, run
from facegen.training.recipe import load_recipe

Run = Callable[..., Result]


class MeanColour:
    """Stands in for the scorer, whose network would take a minute: the distance of the mean colour from grey."""

    key, features_key, description, target = "mean-colour", "mean-colour", "mean colour", None
    reference = Reference(Path("dataset"), FrechetStatistics(24, np.zeros(1), np.eye(1)), "0" * 64, "24 images")

    def margin_warning(self, n: int) -> None:
        return None

    def score_collection(self, collection: ImageCollection) -> Score:
        return self.score(image for _, image in collection)

    def score(self, images: Iterable[np.ndarray]) -> Score:
        return self.of(self.features_of(images, ""))

    def features_of(self, images: Iterable[np.ndarray], description: str) -> np.ndarray:
        return np.array([[image.mean()] for image in images], np.float32)

    def of(self, features: np.ndarray) -> Score:
        value = float(abs(features.mean(dtype=np.float64) - 127.5))
        return Score("fd", value, len(features), 1, "mean-colour", "0" * 64, 24, "0" * 64)

    def measure(self, features: np.ndarray, *words: Any, **options: Any) -> Measured:
        return Measured(self.of(features), np.empty(0))

    def metrics_of(self, features: np.ndarray) -> dict[str, Any]:
        return {}

    def judged(self, score: Score) -> Score:
        return score


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RunResult]]:
    """Runs the chain on 24 drawn faces, each time into the same folder; it has been run there once."""
    folder = tmp_path_factory.mktemp("chain")
    small = {"generator_width": 2, "discriminator_width": 2, "batch": 8, "kimg": 0.032, "tick_kimg": 0.016}
    recipe = folder / "tiny.toml"
    recipe.write_text(load_recipe("quick").with_overrides({**small, "precision": "fp32"}).to_toml(), encoding="utf-8")

    def again() -> RunResult:
        return run("synthetic:24", work=folder / "work", student_number="s123", recipe=recipe, device="cpu")

    with pytest.MonkeyPatch.context() as patch:
        for stage in ("fid", "grade"):
            patch.setattr(f"facegen.stages.{stage}.open_scorer", lambda *words, **options: MeanColour())
        again()
        yield again


class TestChain:
    def test_ends_in_a_graded_tarball(self, chain: Callable[[], RunResult]) -> None:
        made = chain()
        assert made.tarball == made.work / "submissions" / "s123.tar.gz" and made.tarball.is_file()
        score = json.loads((made.work / "score.json").read_text())
        (row,) = json.loads(made.leaderboard.json.read_text())["submissions"]
        assert (row["student_number"], row["status"], row["score"]) == ("s123", "graded", score)

    def test_skips_what_is_there(self, chain: Callable[[], RunResult], capsys: pytest.CaptureFixture[str]) -> None:
        work = chain().work
        before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
        capsys.readouterr()
        chain()
        said = capsys.readouterr().err
        for words in ("lready prepared", "Already trained", "Already sampled", "Already scored", "Already packed"):
            assert words in said
        # The leaderboard is written anew each time; all else is left as it was.
        changed = {path.relative_to(work).parts[0] for path, time in before.items() if path.stat().st_mtime_ns != time}
        assert changed <= {"grades"}

    def test_draws_a_changed_image_again(
        self, chain: Callable[[], RunResult], capsys: pytest.CaptureFixture[str]
    ) -> None:
        images = chain().images
        first = (images / "0001.png").read_bytes()
        (images / "0001.png").write_bytes((images / "0002.png").read_bytes())
        capsys.readouterr()
        chain()
        said = capsys.readouterr().err
        # The images are not what the generator drew, so they are drawn again; they are then the same as ever.
        assert "Already trained" in said and "Already sampled" not in said and "Already scored" in said
        assert (images / "0001.png").read_bytes() == first


@pytest.mark.parametrize(("device", "recipe"), [("cpu", "quick"), ("cuda", "dcgan"), ("mps", "dcgan")])
def test_the_recipe_is_longer_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, recipe: str
) -> None:
    class Begun(Exception):
        pass

    def train(*_: object, recipe: str, **__: object) -> None:
        raise Begun(recipe)

    monkeypatch.setattr("facegen.stages.run.choose_device", torch.device)
    monkeypatch.setattr("facegen.stages.run.prepare", lambda *_, **__: None)
    monkeypatch.setattr("facegen.stages.run.train", train)
    with pytest.raises(Begun, match=recipe):
        run(work=tmp_path, device=device)


@pytest.mark.parametrize(("words", "size"), [((), 64), (("--size", 128), 128)])
def test_the_size_goes_from_prepare_to_grade(
    words: tuple[object, ...], size: int, facegen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages in between take it from the dataset and from the generator."""
    sizes = {}
    score = MeanColour().score([np.zeros(1)])

    def stage(name: str) -> Callable[..., Any]:
        def told(*_: object, **options: Any) -> Any:
            sizes[name] = options["size"]
            return SimpleNamespace(path=Path(__file__), html="html")

        return told

    for name in ("prepare", "pack", "grade"):
        monkeypatch.setattr(f"facegen.stages.run.{name}", stage(name))
    monkeypatch.setattr("facegen.stages.run.train", lambda *_, **__: SimpleNamespace(generator=Path(__file__)))
    monkeypatch.setattr("facegen.stages.run.sample", lambda *_, **__: None)
    monkeypatch.setattr("facegen.stages.run.scorer_key", lambda *_, **__: "key")
    monkeypatch.setattr("facegen.stages.run.fid", lambda *_, **__: score)
    outcome = facegen("run", "--work", tmp_path / "work", "--device", "cpu", *words)
    assert outcome.exit_code == 0, outcome.stderr
    assert sizes == {"prepare": size, "pack": size, "grade": size}


def test_a_size_that_cannot_be_graded_is_said_before_anything_is_done(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("run", "--work", tmp_path / "work", "--size", 100)
    assert outcome.exit_code == 2 and "cannot have a side of 100 pixels" in outcome.stderr
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(("network", "warned"), [("mean-colour", True), ("other", False)])
def test_the_closing_words_name_the_network_that_the_generator_was_trained_against(
    facegen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, warned: bool
) -> None:
    score = MeanColour().score([np.zeros(1)]).with_origin(Origin(None, network))
    ran = SimpleNamespace(score=score, grid="grid", tarball="tarball", leaderboard=SimpleNamespace(html="html"))
    monkeypatch.setattr("facegen.stages.run.run", lambda *words, **options: ran)
    outcome = facegen("run", "--work", tmp_path)
    assert outcome.stdout == "tarball\n"
    assert f"generator trained against {network}" in outcome.stderr
    assert ("the value flatters" in outcome.stderr) is warned
