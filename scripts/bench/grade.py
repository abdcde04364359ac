#!/usr/bin/env python
"""Measure how fast a class is graded: seconds per submission, the network's share of the time, and peak memory.

    python scripts/bench/grade.py --reference celeba --submissions 6 --extractor inception --weights FILE
    python scripts/bench/grade.py --reference celeba --submissions 6 --workers 1 2

The submissions hold images of the generator that ships with facegen, each with its own noise of one grey level. So no
two images have the same bytes. The flags of copies are raised, and collecting their evidence is part of the work.
"network" is the time in which the network computed, over the time from the first submission to the leaderboard.
Opening the reference is not counted. "another target" is a second run, and "another reference" one against half of the
reference. Neither uses the network. Peak memory is that of this process, and the largest of its workers'.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from record import Cell, add_option, in_markdown, record, table, this_command

from facegen import console
from facegen.data.dataset import FaceDataset, new_dataset
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents
from facegen.pretrained import generator_path
from facegen.scoring.scorer import SetScorer
from facegen.stages import grade as stage
from facegen.submission.rules import LIMITS
from facegen.submission.writer import write_tarball
from facegen.training.saved_generator import load_generator

#: The columns of the table, and the formats of their numbers.
COLUMNS = {
    "run": "",
    "seconds per submission": ".1f",
    "network": ".1%",
    "peak memory, MiB": ",",
    "workers' peak memory, MiB": ",",
}
Images = npt.NDArray[np.uint8]


class Clock:
    """Measure the total time in a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Any) -> Any:
        def timed(*words: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*words, **options)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def tarballs(folder: Path, count: int) -> None:
    """Write a class's submissions."""
    saved = load_generator(generator_path())
    latents = normal_latents(0, 0, LIMITS.count, saved.recipe.latent_dim)
    drawn = np.asarray(draw_images(saved.network, latents))
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(count):
            noise = np.random.default_rng(number).integers(-1, 2, drawn.shape)
            images = np.clip(drawn.astype(np.int64) + noise, 0, 255).astype(np.uint8)
            files = {}
            for place, image in enumerate(images):
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "PNG")
                files[f"{place:04d}.png"] = Path(scratch) / f"{place:04d}.png"
                files[f"{place:04d}.png"].write_bytes(buffer.getvalue())
            write_tarball(files, folder / f"s{number:03d}.tar.gz")


def half_of(reference: Path, target: Path) -> Path:
    """Return every other image of a dataset."""
    whole = FaceDataset.open(reference)
    with new_dataset(target, whole.size) as writer:
        rows = range(0, len(whole), 2)
        writer.append(whole.images[::2], [whole.names[row] for row in rows], ["train"] * len(rows))
        writer.finish({})
    return target


def peaks() -> list[int]:
    """Return the peak memory of this process, and the largest of its workers', in MiB."""
    return [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def graded(what: str, submissions: Path, count: int, out: Path, **options: Any) -> list[Cell]:
    """Grade the submissions, print a row about the speed, and return it."""
    network, whole = Clock(), Clock()
    features_of, grade_share, rank, write = SetScorer.features_of, stage.grade_share, stage.rank, stage._write
    SetScorer.features_of = network.around(features_of)  # type: ignore[method-assign]
    for name, function in (("grade_share", grade_share), ("rank", rank), ("_write", write)):
        setattr(stage, name, whole.around(function))
    try:
        stage.grade(submissions, out=out, **options)
    finally:
        SetScorer.features_of = features_of  # type: ignore[method-assign]
        for name, function in (("grade_share", grade_share), ("rank", rank), ("_write", write)):
            setattr(stage, name, function)
    cells = [what, whole.seconds / count, network.seconds / whole.seconds, *peaks()]
    print(in_markdown(cells, list(COLUMNS.values())), flush=True)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="a dataset")
    parser.add_argument("--submissions", type=int, default=6)
    parser.add_argument("--extractor")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    add_option(parser)
    options = parser.parse_args()
    console.set_verbosity(console.QUIET)
    measure = {"extractor": options.extractor, "weights": options.weights, "device": options.device}
    with tempfile.TemporaryDirectory() as folder:
        submissions = Path(folder) / "submissions"
        submissions.mkdir()
        tarballs(submissions, options.submissions)
        half = half_of(options.reference, Path(folder) / "half")
        print(f"{options.submissions} submissions, {os.cpu_count()} cores")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        rows = []
        for workers in options.workers:
            out = Path(folder) / f"grades-{workers}"
            about: dict[str, Any] = {"reference": options.reference, "workers": workers, **measure}
            # The reference's features and the hashes of its images are computed once and kept.
            scorer = stage.open_scorer(options.reference, **measure)
            stage.known_collections(options.reference, None, LIMITS.size, out / "cache", scorer)
            said = f"{workers} workers"
            rows.append(graded(said, submissions, options.submissions, out, **about))
            rows.append(graded(f"{said}, another target", submissions, options.submissions, out, target=5.0, **about))
            about["reference"] = half
            stage.open_scorer(half, **measure)
            rows.append(graded(f"{said}, another reference", submissions, options.submissions, out, **about))
    if options.record:
        record(
            options.record,
            title=f"Grading {options.submissions} submissions of 1,000 images",
            command=this_command(),
            values={"submissions": options.submissions},
            tables={"runs": table(COLUMNS, rows)},
        )


if __name__ == "__main__":
    main()
