"""``facegen sample``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import device_option

#: Named in :data:`facegen.gan.latents.LATENTS`, which imports torch.
LATENTS = ("normal", "sobol")


@click.command(short_help="Draw images from a trained generator.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-n", "n", type=click.IntRange(min=1), default=1000, help="How many images.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The same seed gives the same images.")
@click.option("--truncation", type=float, default=1.0, help="Factor on the latents; below 1: more typical faces.")
@click.option(
    "--latents",
    type=click.Choice(LATENTS),
    default="normal",
    help="sobol: quasi-random latents, spread more evenly than independent ones.",
)
@click.option("--rejection", is_flag=True, help="Drop images that the run's discriminator finds unlikely.")
@click.option("--batch", type=click.IntRange(min=1), default=256, help="Latents drawn at once; changes no image.")
@device_option
def sample(
    run: Path,
    images: Path,
    n: int,
    seed: int,
    truncation: float,
    latents: str,
    rejection: bool,
    batch: int,
    device: str,
) -> None:
    """Draw images from RUN, a run folder or a .safetensors file, into the folder IMAGES.

    They are 8-bit RGB PNGs named 0001.png, 0002.png and so on; a preview, grid.png, is written beside the folder.

    Anything but plain sampling is written into each PNG, and 'facegen fid' and 'facegen grade' name it beside the
    score: a truncation other than 1, Sobol latents, rejection. --rejection needs a run folder with a checkpoint.
    """
    from facegen.stages.sample import sample as sample_stage

    drawn = sample_stage(
        run,
        images,
        n=n,
        seed=seed,
        truncation=truncation,
        latents=latents,
        rejection=rejection,
        batch=batch,
        device=device,
    )
    console.result(str(drawn.images))
