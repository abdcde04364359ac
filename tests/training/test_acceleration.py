from __future__ import annotations

import pytest
import torch

from facegen.data.dataset import FaceDataset
from facegen.errors import EnvironmentProblem, InputError
from facegen.training import acceleration
from facegen.training.acceleration import open_trainer
from facegen.training.batches import RealImages
from facegen.training.cuda_graphs import CaptureFailed
from facegen.training.distributed import Ranks
from facegen.training.figures import StepFigures
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")


class Trainers:
    """Makes trainers, and keeps account of them. Those that are compiled fail in some step."""

    def __init__(self, dataset: FaceDataset, failure: Exception | None = None, fails_in: int = 0) -> None:
        self.recipes: list[Recipe] = []
        self._dataset, self._failure, self._fails_in = dataset, failure, fails_in

    def __call__(self, recipe: Recipe) -> Trainer:
        failure, fails_in = self._failure, self._fails_in

        class Fallible(Trainer):
            def __call__(self, step: int) -> StepFigures:
                if self.recipe.compile and failure is not None and step == fails_in:
                    raise failure
                return super().__call__(step)

        self.recipes.append(recipe)
        rows = self._dataset.training_rows()
        plain = recipe.with_overrides({"compile": False})  # torch's compiler takes long, and is not what is tested
        real = RealImages(self._dataset.images, rows, batch=recipe.batch, seed=0, device=CPU, ranks=Ranks())
        trainer = Fallible(plain, real, self._dataset.size, CPU, torch.float32, Ranks())
        trainer.follow(recipe)
        return trainer


def open_with(
    trainers: Trainers, recipe: Recipe, *, must_compile: bool = False
) -> tuple[Trainer, acceleration.StepFunction]:
    return open_trainer(trainers, recipe, 0, world=1, must_compile=must_compile)


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("Windows not yet supported for torch.compile\nmore"),
        ImportError("Cannot find a working triton installation"),
        AssertionError(),
    ],
)
def test_a_compiler_that_fails_is_done_without(
    failure: Exception, tiny_recipe: Recipe, tiny_dataset: FaceDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    trainers = Trainers(tiny_dataset, failure)
    trainer, step = open_with(trainers, tiny_recipe.with_overrides({"compile": True}))
    assert [recipe.compile for recipe in trainers.recipes] == [True, False] and step is trainer
    words = (str(failure) or "AssertionError").splitlines()[0]
    assert f"torch.compile does not work on this machine: {words}. Training continues without it." in (
        capsys.readouterr().err.replace("\n", " ")
    )


def test_a_compiler_that_fails_in_the_first_step_without_penalties_is_seen_too(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset
) -> None:
    changes = {"compile": True, "discriminator_norm": "none", "r1_gamma": 1.0, "penalty_every": 3}
    trainers = Trainers(tiny_dataset, RuntimeError("no"), fails_in=1)
    open_with(trainers, tiny_recipe.with_overrides(changes))
    assert [recipe.compile for recipe in trainers.recipes] == [True, False]


def test_a_compiler_that_was_asked_for_by_hand_must_work(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    trainers = Trainers(tiny_dataset, RuntimeError("no compiler"))
    with pytest.raises(EnvironmentProblem, match=r"torch\.compile does not work .* no compiler\. Use --no-compile\."):
        open_with(trainers, tiny_recipe.with_overrides({"compile": True}), must_compile=True)


@pytest.mark.parametrize("failure", [torch.cuda.OutOfMemoryError("CUDA out of memory"), InputError("a bad dataset.")])
def test_what_is_not_the_compilers_fault_is_not_taken_for_it(
    failure: Exception, tiny_recipe: Recipe, tiny_dataset: FaceDataset
) -> None:
    with pytest.raises(type(failure)):
        open_with(Trainers(tiny_dataset, failure), tiny_recipe.with_overrides({"compile": True}))


def test_a_trial_run_leaves_the_trainer_as_it_was(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    """The optimizers' moments are there already, and are zero."""
    recipe = tiny_recipe.with_overrides({"compile": True})
    trainer, _ = open_with(Trainers(tiny_dataset), recipe)
    fresh = Trainers(tiny_dataset)(recipe)
    for step in range(2):
        trainer(step), fresh(step)
    torch.testing.assert_close(trainer.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    assert trainer.read_figures() == fresh.read_figures()


BROKEN_OFF = RuntimeError("capture_end was called in vain")
BROKEN_OFF.__context__ = RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (CaptureFailed("the replay has another loss"), "the replay has another loss."),
        (BROKEN_OFF, "operation not permitted when stream is capturing."),
    ],
)
def test_a_capture_that_fails_is_done_without(
    failure: Exception,
    words: str,
    tiny_recipe: Recipe,
    tiny_dataset: FaceDataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(trainer: Trainer, first: int) -> acceleration.StepFunction:
        raise failure

    monkeypatch.setattr(acceleration, "obstacle_to_capture", lambda trainer, world: None)
    monkeypatch.setattr(acceleration, "capture", fail)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    trainers = Trainers(tiny_dataset)
    trainer, step = open_with(trainers, tiny_recipe.with_overrides({"cuda_graphs": True}))
    assert len(trainers.recipes) == 2 and step is trainer
    assert f"cannot be captured as a CUDA graph on this machine: {words} Training continues" in (
        capsys.readouterr().err.replace("\n", " ")
    )


def test_a_capture_runs_the_steps(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replayed(step: int) -> StepFigures:
        return {}

    monkeypatch.setattr(acceleration, "obstacle_to_capture", lambda trainer, world: None)
    monkeypatch.setattr(acceleration, "capture", lambda trainer, first: replayed)
    assert open_with(Trainers(tiny_dataset), tiny_recipe.with_overrides({"cuda_graphs": True}))[1] is replayed
    monkeypatch.undo()
    trainer, step = open_with(Trainers(tiny_dataset), tiny_recipe.with_overrides({"cuda_graphs": True}))
    assert step is trainer  # on a CPU
