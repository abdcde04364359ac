"""``facegen fid``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import device_option, dims_option, extractor_option, target_option, weights_option
from facegen.errors import Refused


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    required=True,
    help="Real images: a folder, .zip, .tar.gz or prepared dataset; or their statistics, as an .npz with mu and sigma.",
)
@extractor_option
@dims_option
@weights_option
@target_option("Stay below this value; exit code 1 where it is missed.")
@click.option(
    "--save-stats",
    type=click.Path(path_type=Path),
    help="Write the reference's statistics to this .npz, which can be given as --reference later.",
)
@click.option(
    "--all-metrics",
    is_flag=True,
    help="Also KID, FID∞, precision, recall, density, coverage, and a search for copies of the reference.",
)
@click.option(
    "--train",
    type=click.Path(path_type=Path),
    help="More images in which --all-metrics looks for copies: those the generator was trained on.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a page with all metrics, charts and the images in question to this folder.",
)
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the score as JSON.")
def fid(
    images: Path,
    reference: Path,
    extractor: str | None,
    dims: int | None,
    weights: Path | None,
    target: float | None,
    save_stats: Path | None,
    all_metrics: bool,
    train: Path | None,
    report: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Score IMAGES against real ones by FID: smaller is better.

    IMAGES is a folder (nested too), .zip, .tar.gz or prepared dataset, a .npy, .npz, parquet or HDF5 file of images, or
    statistics, as --reference takes them.

    The value is pytorch-fid's. It is called FID only with the published Inception weights at 2,048 dims ('facegen
    weights' installs them); every other distance is named after its extractor and is not comparable with published
    FIDs. So the target of 20 is FID's alone, unless you give a --target.

    Beside it stand the floor, which is what as many real images score against the same reference, and a 95%
    interval. The real ones are a dataset's held-out splits, if it has a train split and others: its train split is
    then the reference. Otherwise draws are left out of the reference in turn.

    What is known of the reference is kept in the cache folder by content, so that scoring again is quick.
    """
    from facegen.stages.fid import fid as score_images

    score = score_images(
        images,
        reference,
        extractor=extractor,
        weights=weights,
        dims=dims,
        device=device,
        target=target,
        save_stats=save_stats,
        all_metrics=all_metrics,
        train=train,
        report=report,
    )
    if save_stats is not None:
        console.info(f"The reference's statistics are in {save_stats}.")
    if report is not None:
        console.info(f"The report is in {report / 'index.html'}.")
    for warning in score.warnings:
        console.warn(warning)
    if as_json:
        console.result_json(score.to_json())
    else:
        console.result(*score.lines())
    if score.passed is False:
        raise Refused(f"The {score.label} of {images} is {score.value:.2f}, not below the target of {score.target:g}.")
