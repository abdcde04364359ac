"""``facegen interpolate``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS, device_option


@click.command(short_help="Walk from face to face, as a picture or an animation.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rows", type=click.IntRange(1, 1000), default=8, help="Walks of the picture; faces of the animation.")
@click.option("--steps", type=click.IntRange(2, 1000), default=10, help="Images a walk; frames from face to face.")
@click.option("--fps", type=click.IntRange(1, 50), default=20, help="Frames a second of the animation.")
@click.option("--seed", type=SEEDS, default=0, help="Whose faces: those of 'facegen sample --seed'.")
@click.option("--truncation", type=float, default=1.0, help="Factor on the latents; below 1: more typical faces.")
@device_option
def interpolate(
    run: Path, out: Path, rows: int, steps: int, fps: int, seed: int, truncation: float, device: str
) -> None:
    """Walk between latents of RUN, a run folder or a .safetensors file, along great circles.

    Where OUT ends in .png it is a picture, one walk a row: row 1 starts at the face that 'facegen sample' calls
    0001.png, row 2 at 0002.png. Where it ends in .gif it is an animation through the first faces and back, endlessly.
    """
    from facegen.stages.interpolate import interpolate as interpolate_stage

    drawn = interpolate_stage(
        run, out, rows=rows, steps=steps, fps=fps, seed=seed, truncation=truncation, device=device
    )
    console.result(str(drawn.path))
