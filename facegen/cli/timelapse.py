"""``facegen timelapse``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import Number


@click.command(short_help="Animate the faces of a run through its training, as MP4 or GIF.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--images", type=click.IntRange(1, 64), default=16, help="Number of faces in each frame, the first of each grid."
)
@click.option(
    "--seconds",
    type=Number(0, 600, min_open=True),
    default=12.0,
    help="Seconds from the first grid to the last. The last one stays for two more.",
)
@click.option(
    "--fps", type=click.IntRange(1, 60), show_default="30; GIF: 10", help="Frames per second. A GIF has at most 50."
)
def timelapse(run: Path, file: Path, images: int, seconds: float, fps: int | None) -> None:
    """Animate the same latents through training, from the sample grids of RUN, into FILE (.mp4 or .gif).

    Time follows the logarithm of kimg, so early grids take more of it than late ones. Each grid turns into the next
    in a short cross-fade. The kimg and the latest score are written below. MP4 needs PyAV: pip install
    'facegen[video]'.
    """
    from facegen.stages.timelapse import timelapse as timelapse_stage

    drawn = timelapse_stage(run, file, images=images, seconds=seconds, fps=fps)
    console.result(str(drawn.path))
