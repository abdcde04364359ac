"""``facegen fid``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import device_option, extractor_option, weights_option
from facegen.errors import Refused


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    required=True,
    help="Real images: a folder, .zip, .tar.gz or prepared dataset; or an .npz with mu and sigma.",
)
@extractor_option
@click.option(
    "--dims",
    type=int,
    show_default="2048 of inception, 1280 of effnet-lite0",
    help="Features an image: 64, 192, 768 or 2048 of Inception.",
)
@weights_option
@click.option(
    "--target",
    type=click.FloatRange(min=0, min_open=True),
    show_default="20 for FID, none for another distance",
    help="Stay below this value; exit code 1 where it is missed.",
)
@click.option(
    "--save-stats",
    type=click.Path(path_type=Path),
    help="Write the reference's statistics to this .npz, which can be given as --reference later.",
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
    device: str,
    as_json: bool,
) -> None:
    """Score IMAGES against real ones by FID: smaller is better.

    IMAGES is a folder (nested too), .zip, .tar.gz or prepared dataset. The value is pytorch-fid's. It is called FID
    only with the published Inception weights at 2,048 dims ('facegen weights' installs them); every other
    distance is named after its extractor and is not comparable with published FIDs. So is only FID judged by
    the target of 20, unless you give a --target.

    The reference's statistics are kept in the cache folder by content, so that scoring again is quick.
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
    )
    if save_stats is not None:
        console.info(f"Reference statistics written to {save_stats}")
    if as_json:
        console.result_json(score.to_json())
    else:
        console.result(score.summary())
    if score.passed is False:
        raise Refused(f"The {score.label} of {images} is {score.value:.2f}, not below the target of {score.target:g}.")
