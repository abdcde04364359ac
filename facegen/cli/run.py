"""``facegen run``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import KIMG, device_option, extractor_option, weights_option
from facegen.submission.rules import LIMITS


@click.command(short_help="The whole chain, from photographs to a graded tarball.")
@click.argument("source", default="synthetic")
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), default=Path("work"), help="Folder for it all."
)
@click.option("--student-number", default="0000000", help="What the tarball is called.")
@click.option(
    "--recipe", metavar="NAME|FILE", show_default="dcgan where there is a GPU, else quick", help="What to train."
)
@click.option("--kimg", type=KIMG, help="Length of the training: thousands of images shown.")
@click.option("--size", type=int, default=LIMITS.size, help="Side of the images in pixels, from prepare to grade.")
@device_option
@extractor_option
@weights_option
def run(
    source: str,
    work: Path,
    student_number: str,
    recipe: str | None,
    kimg: float | None,
    size: int,
    device: str,
    extractor: str | None,
    weights: Path | None,
) -> None:
    """Prepare SOURCE, train on it, sample 1,000 images, score, pack and grade them.

    SOURCE is whatever `facegen prepare` takes; by default faces drawn by facegen itself, so that the chain can be
    seen to work before CelebA is there. A stage whose output is there for the same inputs is skipped: run it again
    after an interruption to go on.
    """
    from facegen.stages.run import run as run_stage

    ran = run_stage(
        source,
        work=work,
        student_number=student_number,
        recipe=recipe,
        kimg=kimg,
        size=size,
        device=device,
        extractor=extractor,
        weights=weights,
    )
    console.info(f"Faces: {ran.grid}; report: {ran.leaderboard.html}; score: {ran.score.summary()}.")
    if ran.score.flattery is not None:
        console.warn(ran.score.flattery)
    console.result(str(ran.tarball))
