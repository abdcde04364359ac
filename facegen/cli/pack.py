"""The command ``facegen pack``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS
from facegen.cli.translated_help import TranslatedCommand
from facegen.submission.rules import LIMITS


@click.command(cls=TranslatedCommand)
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("student_number")
@click.option("--size", type=int, default=LIMITS.size, help="Side of the images that your course asks for, in pixels.")
@click.option("--seed", type=SEEDS, help="Pack the generator of the run IMAGES, to be drawn with this seed.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("submissions"),
    help="Folder for the tarball.",
)
def pack(images: Path, student_number: str, size: int, seed: int | None, out: Path) -> None:
    """Pack the 1,000 IMAGES as <STUDENT_NUMBER>.tar.gz.

    IMAGES is a folder with exactly 1,000 PNG or JPEG images in 8-bit RGB, each --size pixels wide and high. `facegen
    sample` makes such a folder. The command checks everything that `facegen grade` checks. It refuses what grade would
    reject, with the reason and what to do (exit code 1). The same images always give the same bytes. The command prints
    the path of the tarball.

    If your course draws the images itself (`facegen grade --from-generator`), pass a run folder or its .safetensors
    file in place of IMAGES, and a --seed. The command then writes <STUDENT_NUMBER>.safetensors.
    """
    from facegen.stages.pack import pack as pack_stage

    console.result(str(pack_stage(images, student_number, size=size, seed=seed, out=out).path))
