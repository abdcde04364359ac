"""``facegen pack``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS
from facegen.submission.rules import LIMITS


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("student_number")
@click.option("--size", type=int, default=LIMITS.size, help="Side of the images that are asked for, in pixels.")
@click.option("--seed", type=SEEDS, help="Pack the generator of the run IMAGES, to be drawn with this seed.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("submissions"),
    help="Folder for the tarball.",
)
def pack(images: Path, student_number: str, size: int, seed: int | None, out: Path) -> None:
    """Pack the 1,000 IMAGES as <STUDENT_NUMBER>.tar.gz.

    IMAGES is a folder with exactly 1,000 PNG or JPEG images of --size pixels a side in 8-bit RGB, as `facegen sample`
    makes it. Everything that `facegen grade` rejects is refused here (exit code 1), with the reason and what to do. The
    same images give the same bytes each time. Prints the tarball's path.

    Where your course draws the images itself (`facegen grade --from-generator`), name a run folder or its .safetensors
    file in place of IMAGES, and a --seed: that makes <STUDENT_NUMBER>.safetensors.
    """
    from facegen.stages.pack import pack as pack_stage

    console.result(str(pack_stage(images, student_number, size=size, seed=seed, out=out).path))
