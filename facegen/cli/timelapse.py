"""``facegen timelapse``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import Number


@click.command(short_help="Draw the faces of a run through its training, as MP4 or GIF.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--images", type=click.IntRange(1, 64), default=16, help="Faces in each frame, the first of the grid.")
@click.option(
    "--seconds",
    type=Number(0, 600, min_open=True),
    default=12.0,
    help="From the first grid to the last, which then stays.",
)
@click.option(
    "--fps", type=click.IntRange(1, 60), show_default="30; GIF: 10", help="Frames a second; a GIF has at most 50."
)
def timelapse(run: Path, file: Path, images: int, seconds: float, fps: int | None) -> None:
    """Draw the same latents through training, from the sample grids of RUN, into FILE (.mp4 or .gif).

    Early grids take more of the time than late ones: the logarithm of their kimg is even. Each becomes the next in a
    short cross-fade; the kimg and the last score are written beneath. MP4 takes PyAV: pip install 'facegen[video]'.
    """
    from facegen.stages.timelapse import timelapse as timelapse_stage

    drawn = timelapse_stage(run, file, images=images, seconds=seconds, fps=fps)
    console.result(str(drawn.path))
