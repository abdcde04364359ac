"""``facegen sample``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import BATCHES, SEEDS, device_option

#: The keys of :data:`facegen.gan.latents.LATENTS`, which imports torch.
LATENTS = ("normal", "sobol")


@click.command(short_help="Generate images with a trained generator.")
@click.argument("paths", metavar="(RUN | --pretrained) IMAGES", type=click.Path(path_type=Path), nargs=-1)
@click.option("--pretrained", is_flag=True, help="Use the generator that ships with facegen instead of RUN.")
@click.option("-n", "n", type=click.IntRange(1, 10_000_000), default=1000, help="Number of images.")
@click.option("--seed", type=SEEDS, default=0, help="Seed of the latents. The same seed gives the same images.")
@click.option("--truncation", type=float, default=1.0, help="Factor on the latents. Below 1, faces are more typical.")
@click.option(
    "--latents",
    type=click.Choice(LATENTS),
    default="normal",
    help="How to sample latents. sobol gives quasi-random latents, which cover the space more evenly.",
)
@click.option("--rejection", is_flag=True, help="Drop images that the run's discriminator finds unlikely.")
@click.option("--batch", type=BATCHES, default=256, help="Number of latents per batch. It does not change the images.")
@device_option
def sample(
    paths: tuple[Path, ...],
    pretrained: bool,
    n: int,
    seed: int,
    truncation: float,
    latents: str,
    rejection: bool,
    batch: int,
    device: str,
) -> None:
    """Generate images with RUN, a run folder or a .safetensors file, in the folder IMAGES.

    Images are 8-bit RGB PNGs named 0001.png, 0002.png and so on. A preview, grid.png, is written beside the folder.

    Anything other than plain sampling is recorded in each PNG, and 'facegen fid' and 'facegen grade' show it beside
    the score: a truncation other than 1, Sobol latents, rejection (which needs a run folder with a checkpoint), and
    the frozen network that the generator was trained against, if any.

    With --pretrained no training is needed. Use these faces to try the other commands. They are not for handing in, and
    'facegen grade' recognises them.
    """
    command, wanted = "facegen sample", "RUN and IMAGES, or --pretrained and IMAGES"
    if pretrained:
        command, wanted = "facegen sample --pretrained", "IMAGES alone"
    if len(paths) != (1 if pretrained else 2):
        given = " ".join(map(str, paths)) or "no path"
        raise click.UsageError(f"'{command}' takes {wanted}; given: {given}.")
    from facegen.pretrained import generator_path
    from facegen.stages.sample import sample as sample_stage

    run, images = (generator_path(), *paths) if pretrained else paths
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
