"""Train: a dataset becomes a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facegen import console, notebook
from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, choose_precision
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.opening import open_extractor
from facegen.files import StrPath, optional_path
from facegen.locks import remove_unclaimed, sole_use
from facegen.notebook.cards import card, facts
from facegen.printable import command_line
from facegen.scoring.scorer import SetScorer, open_scorer
from facegen.training.acceleration import compiler_failed
from facegen.training.boards import BoardOpener, find_board
from facegen.training.checkpoint import CHECKPOINTS, SAMPLES, checkpoint_files, owes_score
from facegen.training.clock import settled_recipe
from facegen.training.distributed import Ranks, is_writing_process, joined_ranks
from facegen.training.loop import training_loop
from facegen.training.memory import is_out_of_memory, too_large
from facegen.training.notebook_board import NotebookBoard, run_parts
from facegen.training.outputs import PeriodicScore
from facegen.training.recipe import Recipe
from facegen.training.saved_generator import BEST, LAST, is_last
from facegen.training.starting import checkpoint_to_continue, chosen_recipe, is_done
from facegen.training.stopping import Stopped

DEFAULT_BOARDS = ("tensorboard",)


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        run: its folder.
        generator: the .safetensors file to sample from: the best by score, or the last where none was scored.
        kimg: thousands of real images shown to the discriminator.
        best: the best score, in what the run was scored with: FID, or another network's distance; None without one.
        reused: whether it was finished already.
    """

    run: Path
    generator: Path
    kimg: float
    best: float | None
    reused: bool

    def _repr_html_(self) -> str | None:
        found = {"trained": f"{self.kimg:,g} kimg", "generator": self.generator}
        found |= {"best score": None if self.best is None else f"{self.best:.2f}"}
        return card(f"Run {self.run}", facts(found), *run_parts(self.run))


def train(
    dataset: StrPath,
    run: StrPath,
    *,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    extractor: str | None = None,
    weights: StrPath | None = None,
    boards: Sequence[str] = DEFAULT_BOARDS,
    rollback: bool = True,
) -> TrainResult:
    """Train the recipe on the dataset, and go on where the run was left when it is of the same recipe and dataset.

    Args:
        dataset: a prepared dataset; its train split is used, or all of it where it has none.
        run: folder to write to.
        recipe: a name or a TOML file; by default the one the run was started with, else ``dcgan``.
        overrides: recipe fields that replace the recipe's; None values are ignored. With ``compile`` among them as
            True, a compiler that fails is an error; a recipe's own wish for it is given up.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        resume: demand that there is something to go on from.
        extractor, weights: the network of the periodic score, as in :func:`facegen.fid`.
        boards: who is told of the run beside its log: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``.
        rollback: a run that collapses goes back to its best checkpoint, once, and on from there at half the learning
            rates. That takes one more checkpoint on the disk.

    Raises:
        InputError: no such dataset or recipe; a dataset that changed since it was prepared, or changes in the meantime;
            a run of another recipe or dataset; no checkpoint that is not damaged; nothing to resume.
        EnvironmentProblem: a board whose package is not installed; ``"cuda"`` without a GPU, a batch that does not fit
            into its memory, no compiler where there must be one, or a recipe with features whose network's weights are
            not installed; another process trains into the same folder; a file of the run cannot be written.
        Diverged: a figure or a weight is no longer finite.
        KeyboardInterrupt: stopped by Ctrl-C, SIGTERM or SIGHUP. It is said whether a checkpoint was written.
    """
    dataset, run = Path(dataset), Path(run)
    weights = optional_path(weights)
    faces = FaceDataset.open(dataset)
    faces.verify()  # on every rank: each may have a copy of its own
    if len(faces.training_rows()) < 2:
        raise InputError(f"The dataset {dataset} has too few images to train on.", "Prepare more.")
    overrides = dict(overrides or {})
    openers = {name: find_board(name) for name in boards}
    chosen = chosen_recipe(recipe, run, overrides)
    with ExitStack() as stack:
        if is_writing_process():
            # By its real path: a link to a run is the same run.
            stack.enter_context(sole_use(run.resolve(), f"trains into {run}"))
            stack.enter_context(_folder(run))
        return _train(faces, run, chosen, overrides, device, resume, extractor, weights, openers, rollback)


@contextmanager
def _folder(run: Path) -> Iterator[None]:
    """Make the run's folder, without what killed processes left in it; afterwards, remove it if it is new and empty."""
    was_there = run.exists()
    if run.is_dir():
        for folder in (run, run / CHECKPOINTS, run / SAMPLES):
            for left in folder.glob(".*.part"):
                if left.is_file():
                    remove_unclaimed(left)
    elif not was_there:
        run.mkdir(parents=True)  # now, and not after hours of work: where it cannot be made, that is said at once
    try:
        yield
    finally:
        if not was_there and run.is_dir() and not any(run.iterdir()):
            run.rmdir()


def _train(
    faces: FaceDataset,
    run: Path,
    chosen: Recipe,
    overrides: Mapping[str, Any],
    device: str,
    resume: bool,
    extractor: str | None,
    weights: Path | None,
    boards: Mapping[str, BoardOpener],
    rollback: bool,
) -> TrainResult:
    """:func:`train` with the recipe chosen and the folder for this process alone."""
    checkpoint = checkpoint_to_continue(run, chosen, faces, is_writer=is_writing_process())
    if checkpoint is None and resume:
        raise InputError(f"There is no checkpoint in {run} to resume from.", "Leave --resume out to start.")
    if checkpoint is not None:
        chosen, seen = settled_recipe(chosen, checkpoint), checkpoint["images_seen"]
        if is_done(chosen, checkpoint) and not owes_score(checkpoint, chosen) and is_last(run, seen):
            console.info(f"Already trained: {run} stands at {seen / 1000:g} kimg.")
            return _result(run, seen, checkpoint["best"], reused=True)

    chosen_device = choose_device(device)
    precision = choose_precision(chosen.precision, chosen_device, double_backward=chosen.is_penalised)
    if not chosen.score_every and (extractor is not None or weights is not None):
        option = "--extractor" if extractor is not None else "--weights"
        console.warn(f"The recipe {chosen.name} never scores, so {option} is of no use: add --score-every.")
    with joined_ranks(chosen_device) as ranks:
        scorer = _open_scorer(faces, chosen, extractor, weights, device, ranks) if chosen.score_every else None
        if ranks.is_writer:
            start = f"from kimg {checkpoint['images_seen'] / 1000:g} " if checkpoint else ""
            end = f"for {chosen.minutes:g} minutes" if chosen.minutes else f"to {chosen.kimg:g} kimg"
            devices = f"{chosen_device.type}{f' × {ranks.world} ranks' if ranks.world > 1 else ''}"
            console.info(
                f"Training {chosen.name} {start}{end} on {len(faces.training_rows()):,} images, "
                f"{devices}, {str(precision).split('.')[-1]}."
            )
            _tell_about_gpus(chosen, chosen_device, precision, ranks)
        go_on = _resume_command(faces.path, run, extractor, weights, boards, rollback)
        try:
            result = training_loop(
                chosen,
                faces,
                run,
                device=chosen_device,
                precision=precision,
                ranks=ranks,
                scorer=scorer,
                checkpoint=checkpoint,
                must_compile=overrides.get("compile") is True,
                boards=[*boards.values(), *([NotebookBoard] * (notebook.is_on() and not console.is_quiet()))],
                rollback=rollback,
            )
        except Stopped:
            if ranks.is_writer:
                console.info(f"Saved. The command {go_on} goes on from here.")
            raise
        except KeyboardInterrupt:
            if ranks.is_writer:
                console.info(f"Broken off. {_what_is_kept(run, go_on)}")
            raise
        except OSError as problem:
            where = f" {problem.filename}" if problem.filename else ""
            raise EnvironmentProblem(
                f"Training stopped, for{where or ' a file'} cannot be read or written: {problem.strerror or problem}.",
                f"Mend that first: make room, or ask for the right to write. {_what_is_kept(run, go_on)}",
            ) from problem
        except RuntimeError as problem:
            if not is_out_of_memory(problem):
                if not type(problem).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                raise compiler_failed(problem) from problem
            result = None
        if result is None:  # here, and not above: there the exception holds what fills the memory
            raise too_large(chosen, faces, chosen_device, precision, ranks)
    if chosen.minutes and ranks.is_writer:
        console.info(f"Trained for {chosen.minutes:g} minutes: {result.images_seen / 1000:g} kimg.")
    return _result(run, result.images_seen, result.best, reused=False)


def _what_is_kept(run: Path, go_on: str) -> str:
    """A sentence on the checkpoint that there is, and on the command that goes on from it."""
    kept = checkpoint_files(run)
    if not kept:
        return "No checkpoint was saved yet: the same command starts anew."
    return f"What is kept is the checkpoint {kept[0].name}: the command {go_on} goes on from it."


def _resume_command(
    dataset: Path, run: Path, extractor: str | None, weights: Path | None, boards: Iterable[str], rollback: bool
) -> str:
    """What to type to go on, with the options that no recipe holds."""
    words = ["facegen", "train", str(dataset), str(run), "--resume"]
    for option, value in (("--extractor", extractor), ("--weights", weights)):
        words += [] if value is None else [option, str(value)]
    if tuple(boards) != DEFAULT_BOARDS:
        words += [word for name in boards for word in ("--board", name)]
    return command_line([*words, *(["--no-rollback"] * (not rollback))])


def _result(run: Path, images_seen: int, best: float | None, *, reused: bool) -> TrainResult:
    return TrainResult(run, run / (BEST if (run / BEST).is_file() else LAST), images_seen / 1000, best, reused)


def _tell_about_gpus(recipe: Recipe, device: torch.device, precision: torch.dtype, ranks: Ranks) -> None:
    """What a user of a GPU would not see otherwise."""
    if device.type != "cuda":
        return
    if recipe.precision == "auto" and precision == torch.float32:
        console.info("This GPU has no bfloat16, and float16 overflows in gradient penalties: so it is float32.")
    count = torch.cuda.device_count()
    if ranks.world == 1 and count > 1:
        console.info(
            f"This machine has {count} GPUs, of which one trains. For all of them, say "
            f"torchrun --nproc-per-node {count} -m facegen in place of facegen."
        )


@dataclass(frozen=True)
class DatasetScorer:
    """The periodic score, against the dataset. Every rank has the extractor; the writer has the statistics too."""

    extractor: FeatureExtractor
    scorer: SetScorer | None
    trained_against: str | None

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return self.extractor.all_features(images)

    def score(self, images: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]) -> PeriodicScore:
        assert self.scorer is not None, "the writer scores"
        score = self.scorer.score_features(images, features, trained_against=self.trained_against)
        return PeriodicScore(score.value, score.label, score.metric == "fid", score.to_json())


def _open_scorer(
    faces: FaceDataset, recipe: Recipe, extractor: str | None, weights: Path | None, device: str, ranks: Ranks
) -> DatasetScorer:
    """The periodic score. The reference is made ready before the first step."""
    if not ranks.is_writer:
        return DatasetScorer(open_extractor(extractor, weights=weights, device=device), None, recipe.trained_against)
    scorer = open_scorer(faces.path, extractor=extractor, weights=weights, device=device)
    console.info(f"Every {recipe.score_every:g} kimg the run is scored by {scorer.description}.")
    if recipe.trained_against == scorer.extractor.name:
        console.warn(
            f"This run is trained against {scorer.extractor.name}, so that network's distance flatters it: compare the "
            "value with this recipe's runs alone."
        )
    return DatasetScorer(scorer.extractor, scorer, recipe.trained_against)
