"""``facegen prepare``: photographs to a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.submission.rules import LIMITS

_EPILOG = """\
\b
How to get CelebA (202,599 aligned faces, 1.4 GB; for non-commercial research only, see its terms):
  Official   mmlab.ie.cuhk.edu.hk/projects/CelebA.html, Google Drive: Img/img_align_celeba.zip
             and Eval/list_eval_partition.txt. Keep both in one folder and name the zip:
             nothing needs unpacking, and the partition beside it is found.
  Python     torchvision.datasets.CelebA(ROOT, download=True), then name ROOT (needs gdown)
  Kaggle     kaggle.com/datasets/jessicali9530/celeba-dataset, then name the zip,
             and its list_eval_partition.csv with --partition
When Drive's download quota is used up it serves an HTML page under the zip's name: facegen says so.
Without photographs: facegen prepare synthetic DATASET draws 2,500 faces.
"""


@click.command(epilog=_EPILOG)
@click.argument("source")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(min=1), default=LIMITS.size, help="Side of the square images in pixels.")
@click.option("--limit", type=click.IntRange(min=1), help="Keep the first N images in the order of their names.")
@click.option(
    "--partition",
    type=click.Path(path_type=Path),
    help="CelebA's list_eval_partition.txt; found by itself when it lies beside the images.",
)
@click.option(
    "--split", type=click.Choice(["train", "valid", "test", "all"]), default="all", help="Keep one split only."
)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that decode images.  [default: one a core]")
@click.option("--strict", is_flag=True, help="Fail on the first unreadable image instead of skipping it.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the drawn faces of 'synthetic'.")
@click.option("--upright", is_flag=True, help="Turn images by their EXIF orientation, as the camera was held.")
@click.option("--srgb", is_flag=True, help="Convert images from their ICC profiles to sRGB.")
@click.option("--force", is_flag=True, help="Prepare even when DATASET already holds the same.")
def prepare(
    source: str,
    dataset: Path,
    size: int,
    limit: int | None,
    partition: Path | None,
    split: str,
    workers: int | None,
    strict: bool,
    seed: int,
    force: bool,
    upright: bool,
    srgb: bool,
) -> None:
    """Prepare the images of SOURCE as the folder DATASET.

    SOURCE is a folder (nested too), a .zip, a .tar or .tar.gz, torchvision's CelebA root, or 'synthetic' or
    'synthetic:N' for drawn faces. Archives are read without unpacking. Pixels equal torchvision's Resize(size) and
    CenterCrop(size) on the RGB image; transparency is composited on white. An EXIF orientation and an ICC profile are
    not applied, as torchvision does not either, unless --upright and --srgb ask for it.
    DATASET holds images.npy, index.csv and manifest.json. Its path is printed.
    """
    from facegen.stages.prepare import prepare as stage

    prepared = stage(
        source,
        dataset,
        size=size,
        limit=limit,
        partition=partition,
        split=split,
        workers=workers,
        strict=strict,
        seed=seed,
        force=force,
        upright=upright,
        srgb=srgb,
    )
    console.result(str(prepared.path))
