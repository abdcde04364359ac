"""The command ``facegen autograder``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console
from facegen.cli.options import device_option, dims_option, extractor_option, size_option, target_option, weights_option


@click.command()
@click.option("--reference", type=click.Path(path_type=Path), required=True, help="Real images or their statistics.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("autograder.zip"),
    help="Path of the zip to upload to Gradescope.",
)
@click.option("--points", type=click.Path(path_type=Path), metavar="RUBRIC", help="The course's rubric, a TOML file.")
@target_option("A submission passes below this value.")
@size_option
@extractor_option
@weights_option
@dims_option
@device_option
def autograder(
    reference: Path,
    out: Path,
    points: Path | None,
    target: float | None,
    size: int,
    extractor: str | None,
    weights: Path | None,
    dims: int | None,
    device: str,
) -> None:
    """Write the zip that grades a course's submissions on Gradescope.

    It holds facegen as it is installed here, the statistics of --reference, and the scripts that Gradescope runs.
    Upload it under 'Configure Autograder'. Each submission is then graded in Gradescope's default container by
    'facegen grade --gradescope --low-memory'. Prints the path of the zip.
    """
    from facegen.stages.autograder import autograder as autograder_stage

    result = autograder_stage(
        reference=reference,
        out=out,
        points=points,
        target=target,
        size=size,
        extractor=extractor,
        weights=weights,
        dims=dims,
        device=device,
    )
    console.result(str(result.path))
