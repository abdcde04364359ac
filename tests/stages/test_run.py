from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import Result

from facegen.cli import main
from facegen.cli.run import what_next
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
        patch.setattr("facegen.stages.run.seconds_of_training", lambda *_: 125.0)
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


@pytest.mark.parametrize(
    ("source", "device", "recipe"),
    [("faces", "cpu", "quick"), ("faces", "mps", "quick"), ("faces", "cuda", "t4"), ("synthetic", "cuda", "quick")],
)
def test_photographs_and_a_gpu_are_worth_a_longer_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, device: str, recipe: str
) -> None:
    class Begun(Exception):
        pass

    def train(*_: object, recipe: str, **__: object) -> None:
        raise Begun(recipe)

    monkeypatch.setattr("facegen.stages.run.choose_device", torch.device)
    monkeypatch.setattr("facegen.stages.run.prepare", lambda *_, **__: None)
    monkeypatch.setattr("facegen.stages.run.train", train)
    monkeypatch.setattr("facegen.stages.run.seconds_of_training", lambda *_: 1.0)
    with pytest.raises(Begun, match=recipe):
        run(source, work=tmp_path, device=device)


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
    monkeypatch.setattr("facegen.stages.run.seconds_of_training", lambda *_: 1.0)
    monkeypatch.setattr("facegen.stages.run.scorer_key", lambda *_, **__: "key")
    monkeypatch.setattr("facegen.stages.run.fid", lambda *_, **__: score)
    outcome = facegen("run", "--work", tmp_path / "work", "--device", "cpu", *words)
    assert outcome.exit_code == 0, outcome.stderr
    assert sizes == {"prepare": size, "pack": size, "grade": size}


def test_a_size_that_cannot_be_graded_is_said_before_anything_is_done(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("run", "--work", tmp_path / "work", "--size", 100)
    assert outcome.exit_code == 2 and "cannot have a side of 100 pixels" in outcome.stderr
    assert not (tmp_path / "work").exists()


def ran_with(work: Path, **changed: Any) -> RunResult:
    facts: dict[str, Any] = {
        "score": MeanColour().score([np.zeros(1)]),
        "recipe": "quick",
        "device": "cpu",
        "drawn": True,
    }
    leaderboard = SimpleNamespace(html=work / "leaderboard.html")
    places = (work / "best.safetensors", work / "images", work / "grid.png")
    made = dict(zip(("generator", "images", "grid"), places, strict=True))
    made |= {"work": work, "tarball": work / "submissions" / "0000000.tar.gz", "leaderboard": leaderboard}
    return RunResult(**{**made, **facts, **changed})


class TestWhatNext:
    @pytest.mark.parametrize("drawn", [True, False])
    @pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
    def test_every_command_is_one(self, tmp_path: Path, device: str, drawn: bool) -> None:
        """Each word of it is one that the command takes, and what it reads is what the chain made."""
        _, *lines = what_next(ran_with(tmp_path / "my work", device=device, drawn=drawn))
        assert len(lines) >= 4
        for line in lines:
            program, name, *words = shlex.split(line[line.index(": facegen ") + 2 :])
            command = main.get_command(click.Context(main), name)
            assert program == "facegen" and command is not None
            command.make_parser(click.Context(command)).parse_args(words)
            if "--recipe" in words:
                load_recipe(words[words.index("--recipe") + 1])

    def test_a_cpu_is_sent_to_a_cpus_recipe_and_a_gpu_to_its_own(self, tmp_path: Path) -> None:
        lines = {device: what_next(ran_with(tmp_path, device=device))[1] for device in ("cpu", "cuda")}
        assert "--recipe laptop" in lines["cpu"] and "--recipe best" in lines["cuda"]

    def test_who_has_photographs_is_not_sent_for_them(self, tmp_path: Path) -> None:
        drawn, photographs = ("\n".join(what_next(ran_with(tmp_path, drawn=drawn))) for drawn in (True, False))
        assert "celeba" in drawn and "celeba" not in photographs and "YOUR_NUMBER" in photographs

    def test_the_recipe_that_was_trained_is_not_recommended(self, tmp_path: Path) -> None:
        assert "--recipe" not in "\n".join(what_next(ran_with(tmp_path, drawn=False, recipe="laptop")))


class TestPlan:
    def begin(self, work: Path, monkeypatch: pytest.MonkeyPatch, **words: Any) -> None:
        """Run it to where the first stage would begin."""

        class Begun(Exception):
            pass

        def prepare(*_: object, **__: object) -> None:
            raise Begun

        monkeypatch.setattr("facegen.stages.run.prepare", prepare)
        with pytest.raises(Begun):
            run(work=work, device="cpu", **words)

    def test_says_what_is_made_and_how_long_it_takes_before_it_begins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("facegen.stages.run.seconds_of_training", lambda *_: 125.0)
        self.begin(tmp_path / "work", monkeypatch)
        told = capsys.readouterr()
        assert told.out == ""
        assert "in 6 steps" in told.err and str(tmp_path / "work") in told.err
        assert "Training quick for 36 kimg on this CPU will take about 2 minutes" in told.err

    def test_does_not_measure_for_a_run_that_is_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("facegen.stages.run.seconds_of_training", lambda *_: pytest.fail("it measured"))
        (tmp_path / "run").mkdir()
        self.begin(tmp_path, monkeypatch)

    def test_a_step_that_does_not_fit_into_memory_is_for_training_to_tell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(*_: object) -> float:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr("facegen.stages.run.seconds_of_training", full)
        self.begin(tmp_path, monkeypatch)
        assert "will take" not in capsys.readouterr().err


@pytest.mark.parametrize(("network", "warned"), [("mean-colour", True), ("other", False)])
def test_the_closing_words_name_the_network_that_the_generator_was_trained_against(
    facegen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, warned: bool
) -> None:
    score = MeanColour().score([np.zeros(1)]).with_origin(Origin(None, network))
    ran = ran_with(tmp_path, score=score)
    monkeypatch.setattr("facegen.stages.run.run", lambda *words, **options: ran)
    outcome = facegen("run", "--work", tmp_path)
    assert outcome.stdout == f"{ran.tarball}\n"
    assert f"generator trained against {network}" in outcome.stderr
    assert ("The value therefore flatters" in " ".join(outcome.stderr.split())) is warned
