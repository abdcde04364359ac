"""Run: all stages, from photographs to a graded tarball. A stage whose output is there already is skipped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen import console
from facegen.data.images import open_images
from facegen.data.litter import is_litter
from facegen.device import choose_device
from facegen.files import StrPath, optional_path, sha256_file, write_json
from facegen.notebook.cards import card, facts, notes, picture_file, place
from facegen.scoring.score import Score
from facegen.stages.fid import fid, scorer_key
from facegen.stages.grade import GradeResult, grade
from facegen.stages.pack import pack
from facegen.stages.prepare import prepare
from facegen.stages.sample import sample
from facegen.stages.train import train
from facegen.submission.rules import LIMITS, limits_for

#: What finished stages were made from, so that they are skipped only for the same inputs.
STATE = "state.json"
STEPS = 6


@dataclass(frozen=True)
class RunResult:
    """What the chain made.

    Attributes:
        work: the folder that holds all of it.
        generator: the trained generator, a .safetensors file.
        images: the folder of drawn images.
        grid: their preview, a PNG.
        score: of the images against the dataset.
        tarball: the packed submission.
        leaderboard: what grading it gave.
    """

    work: Path
    generator: Path
    images: Path
    grid: Path
    score: Score
    tarball: Path
    leaderboard: GradeResult

    def _repr_html_(self) -> str | None:
        found = {"score": self.score.summary(), "generator": self.generator, "images": self.images}
        shown = picture_file(self.grid, "the first of the images")
        parts = (shown, place(self.tarball), place(self.leaderboard.html))
        return card(f"The whole chain, in {self.work}", facts(found), notes(self.score.warnings), *parts)


def run(
    source: str | Path = "synthetic",
    *,
    work: StrPath = Path("work"),
    student_number: str = "0000000",
    recipe: str | Path | None = None,
    kimg: float | None = None,
    size: int = LIMITS.size,
    device: str = "auto",
    extractor: str | None = None,
    weights: StrPath | None = None,
) -> RunResult:
    """Prepare, train, sample, score, pack and grade, into ``work``.

    Args:
        source: as for :func:`facegen.prepare`.
        work: gets ``dataset``, ``run``, ``images``, ``grid.png``, ``score.json``, ``submissions`` and ``grades``.
        student_number: what the tarball is called.
        recipe: a name or file; by default ``dcgan`` where there is a GPU, else ``quick``.
        kimg: replaces the recipe's length.
        size: side of the images in pixels, as for :func:`facegen.prepare`, :func:`facegen.pack` and
            :func:`facegen.grade`; a multiple of 32.
        device, extractor, weights: as for :func:`facegen.train` and :func:`facegen.fid`.

    Raises:
        FacegenError: whatever the stage at hand cannot use, in its words. Finished stages stay: run it again to go on.
    """
    work = Path(work)
    weights = optional_path(weights)
    limits_for(size)  # what cannot be graded is said before it is trained for
    if recipe is None:
        recipe = "quick" if choose_device(device).type == "cpu" else "dcgan"
    state = _State(work / STATE)
    dataset, images = work / "dataset", work / "images"

    _headline(1, f"Prepare {source}.")
    prepare(source, dataset, size=size)

    _headline(2, f"Train {recipe}.")
    trained = train(
        dataset,
        work / "run",
        recipe=recipe,
        overrides={"kimg": kimg},
        device=device,
        extractor=extractor,
        weights=weights,
    )

    _headline(3, f"Sample {LIMITS.count:,} images.")
    drawn_from = {"generator": sha256_file(trained.generator), "n": LIMITS.count}
    if state.holds("sample", drawn_from, _contents(images)):
        console.info(f"Already sampled: {images}.")
    else:
        sample(trained.generator, images, n=LIMITS.count, device=device)
        state.keep("sample", drawn_from, _contents(images))

    _headline(4, "Score them against the dataset.")
    scorer = scorer_key(dataset, extractor=extractor, weights=weights, device=device)
    scored_from = {"images": _contents(images), "scorer": scorer}
    score_file = work / "score.json"
    if state.holds("fid", scored_from, _contents(score_file)):
        score = Score.from_json(json.loads(score_file.read_text(encoding="utf-8")))
        console.info(f"Already scored: {score_file}.")
    else:
        score = fid(images, dataset, extractor=extractor, weights=weights, device=device)
        write_json(score_file, score.to_json())
        state.keep("fid", scored_from, _contents(score_file))
    for line in score.lines():
        console.info(line)
    for warning in score.warnings:
        console.warn(warning)

    _headline(5, f"Pack them as {student_number}.")
    submissions = work / "submissions"
    packed_from = {"images": _contents(images), "student_number": student_number}
    tarball = submissions / f"{student_number}.tar.gz"
    if state.holds("pack", packed_from, _contents(tarball)):
        console.info(f"Already packed: {tarball}.")
    else:
        packed = pack(images, student_number, size=size, out=submissions)
        tarball = packed.path
        state.keep("pack", packed_from, _contents(tarball))

    _headline(6, "Grade the tarball.")
    graded = grade(
        submissions,
        reference=dataset,
        train=dataset,
        size=size,
        out=work / "grades",
        extractor=extractor,
        weights=weights,
        device=device,
    )
    return RunResult(work, trained.generator, images, images.with_name("grid.png"), score, tarball, graded)


def _headline(step: int, sentence: str) -> None:
    console.info(f"[{step}/{STEPS}] {sentence}")


def _contents(path: Path) -> str | None:
    """A content hash of a file or of a folder of images; None where there is none."""
    if path.is_dir():
        return open_images(path).sha256 if any(not is_litter(entry.name) for entry in path.iterdir()) else None
    return sha256_file(path) if path.is_file() else None


class _State:
    """Remembers, for each stage, what its output was made from and what it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: dict[str, Any] = {}
        if path.is_file():
            try:
                self._stages = dict(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, RecursionError):
                console.warn(f"{path} is damaged; its stages are done again.")

    def holds(self, stage: str, inputs: dict[str, Any], output: str | None) -> bool:
        """Whether the output that is there now is the one that ``stage`` made from these inputs."""
        return output is not None and self._stages.get(stage) == {"inputs": inputs, "output": output}

    def keep(self, stage: str, inputs: dict[str, Any], output: str | None) -> None:
        self._stages[stage] = {"inputs": inputs, "output": output}
        write_json(self._path, self._stages)
