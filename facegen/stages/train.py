"""The train stage: turn a dataset into a run."""

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
        run: The folder of the run.
        generator: The .safetensors file to sample from: the best by score, or the last one if the run was not scored.
        kimg: Thousands of real images shown to the discriminator.
        best: The best score, as FID or as the distance of another network; None without scores.
        reused: Whether the run was finished before this call.
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
    """Train a recipe on a dataset, or continue the run if it has the same recipe and dataset.

    Args:
        dataset: A prepared dataset. Training uses its train split, or all images if it has no splits.
        run: The folder to write to.
        recipe: The name of a recipe or a TOML file. By default it is the recipe that the run was started with, or else
            ``dcgan``.
        overrides: Fields that replace those of the recipe. None values are ignored. ``compile=True`` makes a compiler
            that fails an error. A recipe that asks for the compiler trains without it in that case.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        resume: Whether to raise an error if there is no checkpoint to continue from.
        extractor: The network of the periodic score, as in :func:`facegen.fid`.
        weights: The weights file of that network, as in :func:`facegen.fid`.
        boards: The boards that show the run in addition to its log: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``.
        rollback: Whether a run that collapses returns to its best checkpoint, once, and continues at half the learning
            rates. This keeps one more checkpoint on the disk.

    Raises:
        InputError: There is no such dataset or recipe; the dataset changed since it was prepared, or changes during
            training; the folder holds a run of another recipe or dataset; all checkpoints are damaged; or there is
            nothing to resume.
        EnvironmentProblem: A board's package is not installed; there is no GPU for ``"cuda"``; the batch does not fit
            into memory; a required compiler does not work; the weights of the recipe's frozen network are not
            installed; another process trains into the same folder; or a file of the run cannot be written.
        Diverged: A figure or a weight is no longer finite.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP stopped the run. A message says whether a checkpoint was written.
    """
    dataset, run = Path(dataset), Path(run)
    weights = optional_path(weights)
    faces = FaceDataset.open(dataset)
    faces.verify()  # Every rank verifies, because each may have its own copy.
    if len(faces.training_rows()) < 2:
        raise InputError(f"The dataset {dataset} has too few images to train on.", "Prepare at least two.")
    overrides = dict(overrides or {})
    openers = {name: find_board(name) for name in boards}
    chosen = chosen_recipe(recipe, run, overrides)
    with ExitStack() as stack:
        if is_writing_process():
            # The lock is on the real path, because a link to a run is the same run.
            stack.enter_context(sole_use(run.resolve(), f"trains into {run}"))
            stack.enter_context(_folder(run))
        return _train(faces, run, chosen, overrides, device, resume, extractor, weights, openers, rollback)


@contextmanager
def _folder(run: Path) -> Iterator[None]:
    """Make the folder of the run, and clean up files that killed processes left in it.

    Afterwards, remove the folder if it is new and empty.
    """
    was_there = run.exists()
    if run.is_dir():
        for folder in (run, run / CHECKPOINTS, run / SAMPLES):
            for left in folder.glob(".*.part"):
                if left.is_file():
                    remove_unclaimed(left)
    elif not was_there:
        run.mkdir(parents=True)  # Made now, so that a folder that cannot be made is reported before hours of work.
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
    """Run :func:`train` with the recipe chosen and the folder locked for this process."""
    checkpoint = checkpoint_to_continue(run, chosen, faces, is_writer=is_writing_process())
    if checkpoint is None and resume:
        raise InputError(f"There is no checkpoint in {run} to resume from.", "Leave --resume out to start a new run.")
    if checkpoint is not None:
        chosen, seen = settled_recipe(chosen, checkpoint), checkpoint["images_seen"]
        if is_done(chosen, checkpoint) and not owes_score(checkpoint, chosen) and is_last(run, seen):
            console.info(f"Already trained: {run} stands at {seen / 1000:g} kimg.")
            return _result(run, seen, checkpoint["best"], reused=True)

    chosen_device = choose_device(device)
    precision = choose_precision(chosen.precision, chosen_device, double_backward=chosen.is_penalised)
    if not chosen.score_every and (extractor is not None or weights is not None):
        option = "--extractor" if extractor is not None else "--weights"
        console.warn(f"The recipe {chosen.name} never scores, so {option} has no effect. Add --score-every to score.")
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
                console.info(f"A checkpoint was saved. To continue: {go_on}")
            raise
        except KeyboardInterrupt:
            if ranks.is_writer:
                console.info(f"Stopped at once. {_what_is_kept(run, go_on)}")
            raise
        except OSError as problem:
            where = f" {problem.filename}" if problem.filename else ""
            raise EnvironmentProblem(
                f"Training stopped because{where or ' a file'} cannot be read or written: "
                f"{problem.strerror or problem}.",
                f"Free disk space, or make the folder writable. {_what_is_kept(run, go_on)}",
            ) from problem
        except RuntimeError as problem:
            if not is_out_of_memory(problem):
                if not type(problem).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                raise compiler_failed(problem) from problem
            result = None
        if result is None:  # Handled here, because inside the except block the exception keeps the memory in use.
            raise too_large(chosen, faces, chosen_device, precision, ranks)
    if chosen.minutes and ranks.is_writer:
        console.info(f"Trained for {chosen.minutes:g} minutes: {result.images_seen / 1000:g} kimg.")
    return _result(run, result.images_seen, result.best, reused=False)


def _what_is_kept(run: Path, go_on: str) -> str:
    """Return a sentence that names the last checkpoint and the command that continues from it."""
    kept = checkpoint_files(run)
    if not kept:
        return "No checkpoint was saved yet, so the same command starts from the beginning."
    return f"The last checkpoint is {kept[0].name}. To continue from it: {go_on}"


def _resume_command(
    dataset: Path, run: Path, extractor: str | None, weights: Path | None, boards: Iterable[str], rollback: bool
) -> str:
    """Return the command that continues the run, with the options that the recipe does not hold."""
    words = ["facegen", "train", str(dataset), str(run), "--resume"]
    for option, value in (("--extractor", extractor), ("--weights", weights)):
        words += [] if value is None else [option, str(value)]
    if tuple(boards) != DEFAULT_BOARDS:
        words += [word for name in boards for word in ("--board", name)]
    return command_line([*words, *(["--no-rollback"] * (not rollback))])


def _result(run: Path, images_seen: int, best: float | None, *, reused: bool) -> TrainResult:
    return TrainResult(run, run / (BEST if (run / BEST).is_file() else LAST), images_seen / 1000, best, reused)


def _tell_about_gpus(recipe: Recipe, device: torch.device, precision: torch.dtype, ranks: Ranks) -> None:
    """Print what a user of a GPU would not notice otherwise."""
    if device.type != "cuda":
        return
    if recipe.precision == "auto" and precision == torch.float32:
        console.info(
            "Training uses float32, because this GPU has no bfloat16 and gradient penalties overflow in float16."
        )
    count = torch.cuda.device_count()
    if ranks.world == 1 and count > 1:
        console.info(
            f"This machine has {count} GPUs, but only one of them trains. To use all, run "
            f"torchrun --nproc-per-node {count} -m facegen in place of facegen."
        )


@dataclass(frozen=True)
class DatasetScorer:
    """A periodic scorer against the dataset.

    Every rank has the extractor, and the writer has the reference statistics too.
    """

    extractor: FeatureExtractor
    scorer: SetScorer | None
    trained_against: str | None

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return self.extractor.all_features(images)

    def score(self, images: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]) -> PeriodicScore:
        assert self.scorer is not None, "only the writer scores"
        score = self.scorer.score_features(images, features, trained_against=self.trained_against)
        return PeriodicScore(score.value, score.label, score.metric == "fid", score.to_json())


def _open_scorer(
    faces: FaceDataset, recipe: Recipe, extractor: str | None, weights: Path | None, device: str, ranks: Ranks
) -> DatasetScorer:
    """Open the periodic scorer. Its reference statistics are computed now, before the first step."""
    if not ranks.is_writer:
        return DatasetScorer(open_extractor(extractor, weights=weights, device=device), None, recipe.trained_against)
    scorer = open_scorer(faces.path, extractor=extractor, weights=weights, device=device)
    console.info(f"Every {recipe.score_every:g} kimg the run is scored by {scorer.description}.")
    if recipe.trained_against == scorer.extractor.name:
        console.warn(
            f"This run is trained against {scorer.extractor.name}, so the distance in its features flatters the run. "
            "Compare the value only with other runs of this recipe."
        )
    return DatasetScorer(scorer.extractor, scorer, recipe.trained_against)
