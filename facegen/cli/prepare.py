"""The command ``facegen prepare``: turn photographs into a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import SEEDS, SIDES
from facegen.submission.rules import LIMITS

_EPILOG = """\
\b
How to get CelebA (202,599 aligned faces, 1.4 GB; for non-commercial research only, see its terms):
  Official   mmlab.ie.cuhk.edu.hk/projects/CelebA.html, Google Drive: Img/img_align_celeba.zip
             and Eval/list_eval_partition.txt. Name the zip, without unpacking it. The
             partition is found beside it or in CelebA's own folders.
  Python     torchvision.datasets.CelebA(ROOT, download=True), then name ROOT (needs gdown)
  Kaggle     kaggle.com/datasets/jessicali9530/celeba-dataset, then name the zip. The partition
             list_eval_partition.csv is found in it, or beside it after unpacking.
If Drive's download quota is used up, Drive serves an HTML page under the zip's name. facegen detects it.
Without photographs: facegen prepare synthetic DATASET draws 2,500 faces.
"""


@click.command(epilog=_EPILOG)
@click.argument("source")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--size", type=SIDES, default=LIMITS.size, help="Side of the square images in pixels.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000_000), help="Keep only the first N images in the order of their names."
)
@click.option(
    "--partition",
    type=click.Path(path_type=Path),
    help="CelebA's list_eval_partition.txt or .csv, or a similar table. If it lies with the images it is found.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test", "all"]),
    default="all",
    help="Keep only one split. 'train', 'valid' and 'test' need a partition.",
)
@click.option(
    "--crop",
    type=click.IntRange(1, 65_536),
    help="Cut the central N×N pixels of each photograph before the resize, as papers do with 140, 148 or 178. "
    "Smaller photographs are skipped.  [default: the whole shorter side]",
)
@click.option(
    "--preview",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a PNG that shows up to 64 of the prepared images.",
)
@click.option("--workers", type=click.IntRange(0, 1024), help="Processes that decode images.  [default: one per core]")
@click.option("--strict", is_flag=True, help="Fail on the first unreadable image instead of skipping it.")
@click.option("--seed", type=SEEDS, default=0, help="Seed of the drawn faces of 'synthetic'.")
@click.option("--upright", is_flag=True, help="Turn images by their EXIF orientation, as the camera was held.")
@click.option("--srgb", is_flag=True, help="Convert images from their ICC profiles to sRGB.")
@click.option("--force", is_flag=True, help="Prepare even if DATASET already holds the same.")
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
    crop: int | None,
    preview: Path | None,
    upright: bool,
    srgb: bool,
) -> None:
    """Prepare the images of SOURCE as the folder DATASET.

    SOURCE is a folder (with subfolders), a .zip, a .tar or .tar.gz, torchvision's CelebA root, a .npy, .npz, parquet or
    HDF5 file of images, or 'synthetic' or 'synthetic:N' for drawn faces. Archives are read without unpacking.

    Pixels equal torchvision's Resize(size) and CenterCrop(size) on the RGB image; with --crop, its CenterCrop(N) and
    Resize(size). Transparency is composited on white. As in torchvision, EXIF orientations and ICC profiles are not
    applied, unless --upright and --srgb ask for it.

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
        crop=crop,
        preview=preview,
        upright=upright,
        srgb=srgb,
    )
    console.result(str(prepared.path))
