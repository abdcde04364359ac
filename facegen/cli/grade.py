"""``facegen grade``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen import console
from facegen.cli.options import Number, device_option, dims_option, extractor_option, weights_option
from facegen.submission.rules import LIMITS

if TYPE_CHECKING:
    from rich.table import Table

    from facegen.grading.leaderboard import Leaderboard


@click.command()
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), required=True, help="Real images, or their statistics.")
@click.option("--train", type=click.Path(path_type=Path), help="Training images: look for copies of them.")
@click.option(
    "--target",
    type=Number(min=0, min_open=True),
    show_default="20 for FID, none for another distance",
    help="Pass below this value.",
)
@click.option("--size", type=int, default=LIMITS.size, help="Side of the images that are asked for, in pixels.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("grades"),
    help="Folder for the leaderboard and for what lets an interrupted run go on.",
)
@click.option("--force", is_flag=True, help="Grade again what has been graded before.")
@extractor_option
@weights_option
@dims_option
@device_option
@click.option(
    "--number-pattern",
    metavar="REGEX",
    help="What finds the student number in a file's path below SUBMISSIONS: its group 'number', else its first group.",
)
@click.option("--low-memory", is_flag=True, help="Take longer, and as little memory as can be.")
@click.option(
    "--gradescope",
    is_flag=True,
    help="SUBMISSIONS is Gradescope's folder of one submission: write results/results.json beside it.",
)
@click.option(
    "--csv-columns",
    metavar="HEADER=FIELD,...",
    help="Also write import.csv with these columns for the grade import of a learning platform; or moodle, or canvas.",
)
@click.option("--strict", is_flag=True, help="End with exit code 1 if a submission is rejected.")
@click.option("--json", "as_json", is_flag=True, help="Print the leaderboard as JSON.")
@click.pass_context
def grade(
    ctx: click.Context,
    submissions: Path,
    reference: Path,
    train: Path | None,
    target: float | None,
    size: int,
    out: Path,
    force: bool,
    extractor: str | None,
    weights: Path | None,
    dims: int | None,
    device: str,
    low_memory: bool,
    number_pattern: str | None,
    gradescope: bool,
    csv_columns: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Grade every <student_number>.tar.gz in the folder SUBMISSIONS against the real images in --reference.

    SUBMISSIONS may also be what Moodle, Canvas or nbgrader lets you download, as a folder or zip.

    Tarballs are read in memory, never extracted, within hard caps; each gets a row, graded or rejected with the reason.
    Flags (duplicates, copies, shared images, missing denormalisation, wrong colours, low diversity) inform and never
    reject.
    Writes leaderboard.csv, .json and .html. What is graded already is not graded again.
    """
    from facegen.stages.grade import grade as grade_stage

    leaderboard = grade_stage(
        submissions,
        reference=reference,
        train=train,
        target=target,
        size=size,
        out=out,
        force=force,
        extractor=extractor,
        weights=weights,
        dims=dims,
        device=device,
        low_memory=low_memory,
        number_pattern=number_pattern,
        gradescope=gradescope,
        csv_columns=csv_columns,
    ).leaderboard
    if as_json:
        console.result_json(leaderboard.to_json())
    else:
        console.result_table(_table(leaderboard))
    if strict and leaderboard.rejected:
        ctx.exit(1)


def _table(leaderboard: Leaderboard) -> Table:
    from rich.table import Table

    table = Table(caption=leaderboard.description)
    table.add_column("rank", justify="right")
    table.add_column("submission", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("verdict")
    table.add_column("remarks", overflow="fold")
    for row in leaderboard.rows:
        verdict = "graded" if row.passed is None else "passed" if row.passed else "not passed"
        remarks = ", ".join(flag.name for flag in row.flags)
        if row.outcome.rejection is not None:
            verdict = "rejected"
            remarks = f"{row.outcome.rejection.code.value}: {row.outcome.rejection.message}"
        table.add_row(
            "" if row.rank is None else str(row.rank),
            row.outcome.student_number or row.outcome.file,
            "" if row.score is None else f"{row.score.value:.2f}",
            verdict,
            remarks,
        )
    return table
