"""The command ``facegen grade``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facegen import console
from facegen.cli.options import (
    SEEDS,
    ExtractorName,
    device_option,
    dims_option,
    extractor_option,
    size_option,
    target_option,
    weights_option,
)

if TYPE_CHECKING:
    from rich.table import Table

    from facegen.grading.leaderboard import Leaderboard


class ShardType(click.ParamType):
    """A shard ``I/N``, converted to the pair (I, N)."""

    name = "shard"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "I/N"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", value)
        if found is None or int(found[1]) > int(found[2]):
            self.fail(f"{value!r} is not a shard. Write 3/8 for the third of eight shards.", param, ctx)
        return int(found[1]), int(found[2])


@click.command()
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), required=True, help="Real images or their statistics.")
@click.option("--private", type=click.Path(path_type=Path), help="Second reference, which the class does not know.")
@click.option("--private-extractor", type=ExtractorName(), help="Feature extractor of the private value, if different.")
@click.option("--private-weights", type=click.Path(path_type=Path), help="Weights file of that extractor.")
@click.option("--rank-by", type=click.Choice(["public", "private"]), default="public", help="The value that ranks.")
@click.option("--strict-order", is_flag=True, help="Rank by value alone, whatever its error.")
@click.option("--train", type=click.Path(path_type=Path), help="Training images, to look for copies of them.")
@target_option("A submission passes below this value.")
@size_option
@click.option(
    "--from-generator",
    is_flag=True,
    help="Submissions are generators, <student_number>.safetensors. Their 1,000 images are drawn here.",
)
@click.option(
    "--generator-seed",
    type=SEEDS,
    show_default="the seed that each was packed with",
    help="Seed with which all generators draw.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("grades"),
    help="Folder for the leaderboard and for the results that let an interrupted run continue.",
)
@click.option("--force", is_flag=True, help="Grade again what has been graded before.")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    show_default="by cores and submissions",
    help="Number of processes that read tarballs ahead of the network; 1 for none.",
)
@click.option("--shard", type=ShardType(), help="Grade only the I-th of N parts. Join the parts with --merge.")
@click.option("--merge", is_flag=True, help="Grade nothing, and write the leaderboard of what the shards have graded.")
@click.option("--anonymous", is_flag=True, help="Also write a leaderboard with pseudonyms for the class, class.html.")
@click.option(
    "--salt",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="salt.txt in --out, created once",
    help="File with the secret from which pseudonyms are made.",
)
@click.option(
    "--feedback",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for one page per student, <student_number>.html.",
)
@extractor_option
@weights_option
@dims_option
@device_option
@click.option(
    "--points", type=click.Path(path_type=Path), help="The course's rubric (TOML): points for values, and lateness."
)
@click.option("--roster", type=click.Path(path_type=Path), help="CSV of student numbers. Missing students get a row.")
@click.option(
    "--submitted-at", type=click.Path(path_type=Path), help="CSV with the times when files or students were handed in."
)
@click.option(
    "--policy",
    type=click.Choice(["latest", "best"]),
    show_default="each file has its own row",
    help="Which submission of a student counts.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="[real|reference|NAME=PATH]",
    help="Measure this beside the class, without a rank: held-out images of the reference, images of the reference, or "
    "other images or a generator (.safetensors). Can be given several times.",
)
@click.option(
    "--number-pattern",
    metavar="REGEX",
    help="Finds the student number in a file's path below SUBMISSIONS: the group 'number', or else the first group.",
)
@click.option("--low-memory", is_flag=True, help="Use as little memory as possible. This takes longer.")
@click.option(
    "--gradescope",
    is_flag=True,
    help="SUBMISSIONS is Gradescope's folder of one submission. Write results/results.json beside it.",
)
@click.option(
    "--csv-columns",
    metavar="HEADER=FIELD,...",
    help="Also write import.csv with these columns for the grade import of a learning platform, or: moodle, canvas.",
)
@click.option("--strict", is_flag=True, help="End with exit code 1 if a submission is rejected.")
@click.option("--json", "as_json", is_flag=True, help="Print the leaderboard as JSON.")
@click.pass_context
def grade(
    ctx: click.Context,
    submissions: Path,
    reference: Path,
    private: Path | None,
    private_extractor: str | None,
    private_weights: Path | None,
    rank_by: str,
    strict_order: bool,
    train: Path | None,
    target: float | None,
    size: int,
    from_generator: bool,
    generator_seed: int | None,
    out: Path,
    force: bool,
    workers: int | None,
    shard: tuple[int, int] | None,
    merge: bool,
    anonymous: bool,
    salt: Path | None,
    feedback: Path | None,
    extractor: str | None,
    weights: Path | None,
    dims: int | None,
    device: str,
    points: Path | None,
    roster: Path | None,
    submitted_at: Path | None,
    policy: str | None,
    baselines: tuple[str, ...],
    low_memory: bool,
    number_pattern: str | None,
    gradescope: bool,
    csv_columns: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Grade every <student_number>.tar.gz in the folder SUBMISSIONS against the real images in --reference.

    SUBMISSIONS may also be a download from Moodle, Canvas or nbgrader, as a folder or zip.

    Tarballs are read in memory, never extracted, and within hard limits. Each one gets a row: graded, or rejected
    with the reason. Flags (duplicates, copies, shared images, missing denormalisation, wrong colours, low diversity)
    inform and never reject.

    Writes leaderboard.csv, .json and .html. Results of earlier runs are used again.
    """
    from facegen.stages.grade import grade as grade_stage
    from facegen.training.distributed import is_writing_process

    leaderboard = grade_stage(
        submissions,
        reference=reference,
        private=private,
        private_extractor=private_extractor,
        private_weights=private_weights,
        rank_by=rank_by,
        strict_order=strict_order,
        train=train,
        target=target,
        size=size,
        from_generator=from_generator,
        generator_seed=generator_seed,
        out=out,
        force=force,
        workers=workers,
        shard=shard,
        merge=merge,
        anonymous=anonymous,
        salt=salt,
        feedback=feedback,
        extractor=extractor,
        weights=weights,
        dims=dims,
        device=device,
        points=points,
        roster=roster,
        submitted_at=submitted_at,
        policy=policy,
        baselines=baselines,
        low_memory=low_memory,
        number_pattern=number_pattern,
        gradescope=gradescope,
        csv_columns=csv_columns,
    ).leaderboard
    if not is_writing_process():  # only one of torchrun's ranks prints
        return
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
    has_points = any(row.points is not None for row in leaderboard.rows)
    if has_points:
        table.add_column("points", justify="right")
    table.add_column("remarks", overflow="fold")
    for row in (*leaderboard.rows, *leaderboard.baselines):
        verdict = "graded" if row.passed is None else "passed" if row.passed else "not passed"
        if row in leaderboard.baselines or row.outcome.status == "missing":
            verdict = "baseline" if row in leaderboard.baselines else "missing"
        remarks = ", ".join(flag.name for flag in row.flags)
        if row.outcome.rejection is not None:
            verdict = "rejected"
            remarks = f"{row.outcome.rejection.code.value}: {row.outcome.rejection.message}"
        table.add_row(
            "" if row.rank is None else str(row.rank),
            row.name,
            "" if row.score is None else f"{row.score.value:.2f}",
            verdict,
            *(["" if row.points is None else f"{row.points:g}"] if has_points else []),
            remarks,
        )
    return table
