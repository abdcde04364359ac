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
    help="Real images (a folder, .zip, .tar.gz or prepared dataset), or their statistics (an .npz with mu and sigma).",
)
@extractor_option
@dims_option
@weights_option
@target_option("The score must be below this value, else the exit code is 1.")
@click.option(
    "--save-stats",
    type=click.Path(path_type=Path),
    help="Write the reference statistics to this .npz, which can be used as --reference later.",
)
@click.option(
    "--all-metrics",
    is_flag=True,
    help="Also compute KID, FID∞, precision, recall, density and coverage, and search for copies of the reference.",
)
@click.option(
    "--train",
    type=click.Path(path_type=Path),
    help="More images in which --all-metrics searches for copies: those that the generator was trained on.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a page with all metrics, charts and conspicuous images to this folder.",
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
    """Score IMAGES against real images by FID. A smaller score is better.

    IMAGES is a folder (nested too), .zip, .tar.gz or prepared dataset, a .npy, .npz, parquet or HDF5 file of images, or
    statistics, as for --reference.

    The value is that of pytorch-fid. It is called FID only with the published Inception weights at 2,048 dims, which
    'facegen weights' installs. Every other distance is named after its extractor and cannot be compared with published
    FIDs. The target of 20 therefore applies to FID only, unless you give a --target.

    The score comes with its floor, which is the score of as many real images against the same reference, and a 95%
    interval. If the reference is a dataset with held-out splits, its train split is the reference and the other
    splits give the floor. Otherwise, images are left out of the reference in turn.

    The features of the reference are cached by content, so scoring again is fast.
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
        console.info(f"The reference statistics are in {save_stats}.")
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
