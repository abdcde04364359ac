"""Train: a dataset becomes a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, choose_precision
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import StrPath, optional_path, write_text
from facegen.scoring.extractors import FeatureExtractor, open_extractor
from facegen.scoring.scorer import Scorer, open_scorer
from facegen.training.checkpoint import BEST, LAST, checkpoint_files, load_checkpoint
from facegen.training.distributed import Ranks, joined_ranks
from facegen.training.loop import training_loop
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict

RECIPE = "recipe.toml"
DEFAULT_RECIPE = "dcgan"


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the generator to sample from, the best score if any, and whether it was there."""

    run: Path
    generator: Path
    kimg: float
    best: float | None
    reused: bool


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
) -> Trained:
    """Train the recipe on the dataset, and go on where the run was left when it is of the same recipe and dataset.

    Args:
        dataset: a prepared dataset; its train split is used, or all of it where it has none.
        run: folder to write to.
        recipe: a name or a TOML file; by default the one the run was started with, else ``dcgan``.
        overrides: recipe fields that replace the recipe's; None values are ignored.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        resume: demand that there is something to go on from.
        extractor, weights: what the periodic score measures with, as in :func:`facegen.fid`.

    Raises:
        InputError: no such dataset or recipe; a run of another recipe or dataset; nothing to resume.
        EnvironmentProblem: ``"cuda"`` without a GPU, a batch that does not fit into its memory, no compiler, or a
            recipe with features whose network's weights are not installed.
        Diverged: a loss is no longer finite.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, with a checkpoint written.
    """
    dataset, run = Path(dataset), Path(run)
    weights = optional_path(weights)
    faces = FaceDataset.open(dataset)
    if len(faces.training_rows()) < 2:
        raise InputError(f"The dataset {dataset} has too few images to train on.", "Prepare more.")
    chosen = _choose_recipe(recipe, run).with_overrides(overrides or {})
    checkpoint = _checkpoint_to_continue(run, chosen, faces)
    if checkpoint is None and resume:
        raise InputError(f"There is no checkpoint in {run} to resume from.", "Leave --resume out to start.")
    if checkpoint is not None and checkpoint["images_seen"] >= chosen.total_images:
        console.info(f"Already trained: {run} stands at {checkpoint['images_seen'] / 1000:g} kimg.")
        return _trained(run, checkpoint["images_seen"], checkpoint["best"], reused=True)

    where = choose_device(device)
    precision = choose_precision(chosen.precision, where)
    with joined_ranks(where) as ranks:
        measure = _measure(faces, chosen, extractor, weights, device, ranks) if chosen.fid_every else None
        if ranks.is_writer:
            run.mkdir(parents=True, exist_ok=True)
            write_text(run / RECIPE, chosen.to_toml())
            start = f"from kimg {checkpoint['images_seen'] / 1000:g} " if checkpoint else ""
            console.info(
                f"Training {chosen.name} {start}to {chosen.kimg:g} kimg on {len(faces.training_rows()):,} images, "
                f"{where.type}{f' × {ranks.world} ranks' if ranks.world > 1 else ''}, {str(precision).split('.')[-1]}."
            )
        try:
            best = training_loop(
                chosen,
                faces,
                run,
                device=where,
                precision=precision,
                ranks=ranks,
                measure=measure,
                checkpoint=checkpoint,
            )
        except KeyboardInterrupt:
            console.info(f"Saved. Go on with: facegen train {dataset} {run} --resume")
            raise
        except torch.cuda.OutOfMemoryError as problem:
            raise EnvironmentProblem(
                f"A batch of {chosen.batch} images does not fit into the memory of the GPU.", "Use a smaller --batch."
            ) from problem
        except RuntimeError as problem:
            if not type(problem).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise EnvironmentProblem(
                f"torch.compile does not work on this machine: {str(problem).splitlines()[0]}", "Use --no-compile."
            ) from problem
    return _trained(run, chosen.total_images, best, reused=False)


def _trained(run: Path, images_seen: int, best: float | None, *, reused: bool) -> Trained:
    return Trained(run, run / (BEST if (run / BEST).is_file() else LAST), images_seen / 1000, best, reused)


def _choose_recipe(recipe: str | Path | None, run: Path) -> Recipe:
    if recipe is not None:
        return load_recipe(recipe)
    started_with = run / RECIPE
    return load_recipe(started_with if started_with.is_file() else DEFAULT_RECIPE)


def _checkpoint_to_continue(run: Path, recipe: Recipe, dataset: FaceDataset) -> dict[str, Any] | None:
    """The newest checkpoint of ``run`` if it is of this recipe and dataset, None if the run has none.

    Raises:
        InputError: the folder holds a run of another recipe or dataset, or something that is no run at all.
    """
    files = checkpoint_files(run)
    if not files:
        if run.exists() and (not run.is_dir() or (any(run.iterdir()) and not (run / RECIPE).is_file())):
            raise InputError(f"{run} exists and is not a run.", "Name another folder for the run.")
        return None
    checkpoint = load_checkpoint(files[0])
    then = recipe_from_dict(checkpoint["recipe"], f"the checkpoint {files[0]}").learned_fields()
    now = recipe.learned_fields()
    other = [f"{key} {then[key]!r} (now {now[key]!r})" for key in now if then[key] != now[key]]
    if checkpoint["dataset_sha256"] != dataset.sha256:
        other.append("dataset")
    if other:
        raise InputError(
            f"{run} holds a run that differs in {', '.join(other)}.",
            "Name another folder for the new run, or give the same recipe and dataset to go on.",
        )
    return checkpoint


@dataclass(frozen=True)
class Scoring:
    """The periodic score. Every rank has the extractor; the writer has the dataset's statistics too."""

    extractor: FeatureExtractor
    scorer: Scorer | None
    trained_against: str | None

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        size = self.extractor.batch
        return np.concatenate([self.extractor([*images[at : at + size]]) for at in range(0, len(images), size)])

    def score(self, images: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]) -> tuple[float, dict[str, Any]]:
        assert self.scorer is not None, "the writer scores"
        score = self.scorer.score_features(images, features, trained_against=self.trained_against)
        return score.value, score.to_json()


def _measure(
    faces: FaceDataset, recipe: Recipe, extractor: str | None, weights: Path | None, device: str, ranks: Ranks
) -> Scoring:
    """The periodic score: against the dataset itself. The reference is made ready before the first step."""
    if not ranks.is_writer:
        return Scoring(open_extractor(extractor, weights=weights, device=device), None, recipe.trained_against)
    scorer = open_scorer(faces.path, extractor=extractor, weights=weights, device=device)
    console.info(f"Every {recipe.fid_every:g} kimg: {scorer.description}.")
    if recipe.trained_against == scorer.extractor.name:
        console.warn(
            f"{scorer.extractor.name} is in the game, so its distance flatters this run: compare it with this recipe's "
            "runs alone"
        )
    return Scoring(scorer.extractor, scorer, recipe.trained_against)
