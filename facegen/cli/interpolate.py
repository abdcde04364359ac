"""``facegen interpolate``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS, device_option


@click.command(short_help="Morph one face into another, as a picture or an animation.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--rows", type=click.IntRange(1, 1000), default=8, help="Number of walks in a picture, or of faces in an animation."
)
@click.option(
    "--steps", type=click.IntRange(2, 1000), default=10, help="Images per walk, or frames from one face to the next."
)
@click.option("--fps", type=click.IntRange(1, 50), default=20, help="Frames per second of an animation.")
@click.option("--seed", type=SEEDS, default=0, help="Seed of the faces, as in 'facegen sample --seed'.")
@click.option("--truncation", type=float, default=1.0, help="Factor on the latents. Below 1, faces are more typical.")
@device_option
def interpolate(
    run: Path, out: Path, rows: int, steps: int, fps: int, seed: int, truncation: float, device: str
) -> None:
    """Interpolate between latents of RUN along great circles.

    RUN is a run folder or a .safetensors file. If OUT ends in .png, it becomes a picture with one walk per row. Row 1
    starts at the face that 'facegen sample' calls 0001.png, row 2 at 0002.png. If OUT ends in .gif, it becomes an
    endless animation through the first faces and back.
    """
    from facegen.stages.interpolate import interpolate as interpolate_stage

    drawn = interpolate_stage(
        run, out, rows=rows, steps=steps, fps=fps, seed=seed, truncation=truncation, device=device
    )
    console.result(str(drawn.path))
