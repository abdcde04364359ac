"""``facegen run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen import console
from facegen.cli.options import KIMG, device_option, extractor_option, weights_option
from facegen.printable import command_line
from facegen.submission.rules import LIMITS

if TYPE_CHECKING:
    from facegen.stages.run import RunResult


#: The default name of the tarball, which is no student's number.
NO_NUMBER = "0000000"


@click.command(short_help="Run the whole chain, from photographs to a graded tarball.")
@click.argument("source", default="synthetic")
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), default=Path("work"), help="Folder for all results."
)
@click.option("--student-number", default=NO_NUMBER, help="Name of the tarball.")
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    show_default="t4 for photographs and an NVIDIA GPU, else quick",
    help="Recipe to train.",
)
@click.option("--kimg", type=KIMG, help="Length of the training, in thousands of images shown.")
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
    """Prepare SOURCE, train on it, sample 1,000 images, then score, pack and grade them.

    SOURCE is anything that `facegen prepare` takes. By default facegen draws faces itself, so that you can see the
    chain work before you have CelebA. A stage is skipped if its output exists for the same inputs, so run the same
    command again to continue after an interruption.
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
    for line in what_next(ran):
        console.info(line)
    if ran.score.flattery is not None:
        console.warn(ran.score.flattery)
    console.result(str(ran.tarball))


def what_next(ran: RunResult) -> list[str]:
    """Return suggestions for next steps, one per line: a description, then a command to copy."""
    work, dataset = ran.work, str(ran.work / "dataset")
    # The recipes for a night on a CPU and for a modern GPU, without the one that was trained.
    longer = "best" if ran.device == "cuda" else "laptop"
    takes = "ten minutes of a modern GPU" if ran.device == "cuda" else "a night of a CPU"
    tried: list[tuple[str, list[str]]] = []
    if ran.drawn:
        words = ["run", "img_align_celeba.zip", "--work", str(work.with_name("celeba")), "--recipe", longer]
        tried.append((f"faces of people, in {takes} (facegen prepare --help tells where CelebA is)", words))
    elif ran.recipe != longer:
        words = ["train", dataset, str(work / longer), "--recipe", longer]
        tried.append((f"better faces of the same photographs, in {takes}", words))
    if not ran.drawn and ran.tarball.name == f"{NO_NUMBER}.tar.gz":
        tried.append(("a tarball of your own number", ["pack", str(ran.images), "YOUR_NUMBER"]))
    page = ["--all-metrics", "--report", str(work / "report")]
    tried += [
        ("other faces of this generator", ["sample", str(work / "run"), str(work / "others"), "--seed", "1"]),
        ("walks from face to face", ["interpolate", str(work / "run"), str(work / "walk.gif")]),
        ("every metric, as a page with pictures", ["fid", str(ran.images), "--reference", dataset, *page]),
    ]
    return ["What to try next:", *(f"  {what}: {command_line(['facegen', *words])}" for what, words in tried)]
