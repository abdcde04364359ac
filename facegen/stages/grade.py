"""The grade stage: it turns a folder of tarballs into a leaderboard with one row per tarball, whatever it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from facegen import console
from facegen.device import choose_device
from facegen.errors import InputError
from facegen.extractors.low_memory import give_back_at_once
from facegen.files import StrPath, optional_path, write_json, write_text
from facegen.grading.anonymous import SALT, read_salt, write_for_class
from facegen.grading.baselines import measure_baselines, parse_baselines
from facegen.grading.course import open_course
from facegen.grading.csv_columns import CsvColumns
from facegen.grading.evidence import Album
from facegen.grading.feedback import require_feedback_place, write_feedback
from facegen.grading.found import find_submissions, number_of
from facegen.grading.generators import GeneratorReader
from facegen.grading.grader import Grader
from facegen.grading.gradescope import Upload, failures_told
from facegen.grading.known_pictures import KnownPictures
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.measures import PrivateMeasure, about_reference, known_collections, notice_of
from facegen.grading.outcome import Outcome
from facegen.grading.ranking import rank
from facegen.grading.shares import alone_in, grade_share, merged, shard_folder, share_of
from facegen.notebook.cards import card, facts, place, table
from facegen.scoring.scorer import open_scorer
from facegen.scoring.statistics_layouts import holds_statistics, refuse_statistics
from facegen.submission.rules import GENERATOR_SUFFIX, LIMITS, limits_for
from facegen.training.distributed import joined_ranks

RANK_BY = ("public", "private")


@dataclass(frozen=True)
class GradeResult:
    """The result of grading a folder.

    Attributes:
        leaderboard: All rows in order.
        csv, json, html: The files that were written.
    """

    leaderboard: Leaderboard
    csv: Path
    json: Path
    html: Path

    def _repr_html_(self) -> str | None:
        board = self.leaderboard
        if not self.html.is_file():
            return None
        graded = f"{len(board.graded):,} graded, {len(board.rejected):,} rejected"
        rows = [
            (
                *(row.rank, row.name, None if row.score is None else f"{row.score.value:.2f}"),
                {True: "yes", False: "no", None: None}[row.passed],
                " ".join(flag.name for flag in row.flags),
                None if row.outcome.rejection is None else row.outcome.rejection.message,
            )
            for row in board.rows
        ]
        heads = ("rank", "student", "value", "passed", "flags", "reason")
        found = facts({"measure": board.description, "submissions": graded})
        return card("Leaderboard", found, table(heads, rows), place(self.html))


def grade(
    submissions: StrPath,
    *,
    reference: StrPath,
    private: StrPath | None = None,
    private_extractor: str | None = None,
    private_weights: StrPath | None = None,
    rank_by: str = "public",
    strict_order: bool = False,
    train: StrPath | None = None,
    target: float | None = None,
    size: int = LIMITS.size,
    from_generator: bool = False,
    generator_seed: int | None = None,
    out: StrPath = Path("grades"),
    force: bool = False,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    merge: bool = False,
    anonymous: bool = False,
    salt: StrPath | None = None,
    feedback: StrPath | None = None,
    extractor: str | None = None,
    weights: StrPath | None = None,
    dims: int | None = None,
    device: str = "auto",
    points: StrPath | None = None,
    roster: StrPath | None = None,
    submitted_at: StrPath | None = None,
    policy: str | None = None,
    baselines: Sequence[str] = (),
    low_memory: bool = False,
    number_pattern: str | None = None,
    gradescope: bool = False,
    csv_columns: str | None = None,
) -> GradeResult:
    """Grade all tarballs of a class and write ``out/leaderboard.csv``, ``.json`` and ``.html``.

    Under torchrun, each rank grades a part of the tarballs. All ranks get the same leaderboard, and rank 0 writes it.

    Args:
        submissions: A folder of ``<student_number>.tar.gz``, a download from Moodle, Canvas or nbgrader, a zip of
            either, or one file.
        reference: Real images or their statistics. If it holds images, submissions are searched for copies of them.
        private: Another reference that the class does not know. Every submission gets a second value against it.
        private_extractor, private_weights: The feature extractor of the private value, if it differs from the public
            one. Without ``private``, the reference is the same.
        rank_by: The value that ranks, ``"public"`` or ``"private"``.
        strict_order: Rank by value alone. Otherwise a submission does not outrank another one if their values differ
            by no more than the error of the difference.
        train: The images on which generators were trained, to look for copies of them.
        target: A submission passes if its value is below this one.
        size: Width and height of the images in pixels, a multiple of 32. Other sizes are rejected as ``wrong_size``.
        from_generator: The submissions are generators, ``<student_number>.safetensors``, and their images are drawn
            here.
        generator_seed: The seed for all generators; None to use the seed with which each was packed.
        out: The folder to write to. Finished results are cached in it, so that an interrupted run can be continued.
        force: Grade again what has been graded before.
        workers: Number of processes that read tarballs ahead of the network; 1 for none. None chooses by the number of
            tarballs and of cores.
        shard: ``(i, n)``: Grade only the i-th of n parts, with i from 1 to n, and write its leaderboard into
            ``out/shard-i-of-n``. Other processes and machines can grade the other parts into the same folder.
        merge: Grade nothing, and write the leaderboard of what the shards have graded.
        anonymous: Also write a leaderboard for the class, ``out/class.html``, with pseudonyms instead of students.
        salt: The file of the secret from which pseudonyms are made. By default it is ``out/salt.txt``, which is created
            if it does not exist.
        feedback: A folder for one page per student, ``<student_number>.html``. Earlier pages in it are replaced.
        extractor, weights, dims, device: The feature extractor, its weights file, the number of feature dimensions and
            the device, as in :func:`facegen.fid`.
        points: The course's rubric, a TOML file. It says how many points bands of values earn and what lateness costs.
        roster: A CSV with a column of student numbers. Students who handed in nothing get a row, and numbers that are
            not on it are reported.
        submitted_at: A CSV with the times at which files or students were handed in.
        policy: Which submission of a student counts, ``"latest"`` or ``"best"``. The best one has the most points, or
            the lowest value without a rubric. With None, each file gets a row of its own.
        baselines: What to measure beside the class, without ranks: ``"real"`` (held-out images of the reference),
            ``"reference"`` (images of the reference, as a copy would be) or ``"NAME=PATH"`` (images, or a generator's
            .safetensors). Each is measured with as many images as a submission has.
        number_pattern: A regular expression that finds the student number in a file's path below ``submissions``.
        gradescope: ``submissions`` is Gradescope's folder of one submission, and ``results/results.json`` is written
            beside it (:mod:`facegen.grading.gradescope`).
        csv_columns: ``"Header=field,…"`` or the name of a preset: also write ``out/import.csv`` for the grade import
            of a learning platform (:mod:`facegen.grading.csv_columns`).
        low_memory: Use as little memory as possible. This takes longer; the values are the same except for rounding.

    Raises:
        InputError: There are no submissions, the reference cannot be used, or the size cannot be graded. A rubric,
            table, baseline, salt or folder for feedback cannot be used. Files cannot be read; the others are graded
            first, and no leaderboard is written. With ``merge``, some submissions are not graded. The contents of a
            submission never raise this.
        EnvironmentProblem: Another process grades into ``out``.
    """
    submissions, reference, out = Path(submissions), Path(reference), Path(out)
    train, weights, feedback = map(optional_path, (train, weights, feedback))
    if rank_by not in RANK_BY:
        raise InputError(f"Submissions cannot be ranked by {rank_by!r}.", f"Use one of: {', '.join(RANK_BY)}.")
    second = PrivateMeasure(
        optional_path(private), private_extractor, optional_path(private_weights), rank_by == "private"
    )
    second.require()
    limits, reader = limits_for(size), None
    if low_memory:
        give_back_at_once()
    if generator_seed is not None and not from_generator:
        raise InputError("A generator seed has no effect on images.", "Add --from-generator, or omit the seed.")
    if from_generator:
        limits, workers = replace(limits, suffix=GENERATOR_SUFFIX), 1  # the device of the network draws
        reader = GeneratorReader(generator_seed, choose_device(device))
    columns = None if csv_columns is None else CsvColumns.parse(csv_columns)
    upload = Upload.begin(submissions) if gradescope else None
    rules = optional_path(points), optional_path(roster), optional_path(submitted_at), policy
    course = open_course(*rules, has_private=bool(second), ranked_by=rank_by)
    staff = parse_baselines(baselines)
    files = [upload.found()] if upload else find_submissions(submissions, out, number_pattern)
    # This needs the limits, which decide the names of submissions: times and deadlines are assigned by number.
    found = course.dated([replace(each, student_number=number_of(each, limits)) for each in files])
    share = share_of(found, shard)
    if shard is not None:  # only the whole class tells who is missing and which attempt counts
        course, staff = replace(course, roster=None, policy=None), []
    if train is not None:
        refuse_statistics(train, "--train")
    if feedback is not None:
        require_feedback_place(feedback, out)
    cache = out / "cache"
    with failures_told(upload), joined_ranks(torch.device("cpu")) as ranks, alone_in(out, ranks, shard):
        if not ranks.is_writer:
            console.set_verbosity(console.QUIET)
        secret = read_salt(optional_path(salt) or out / SALT, make=salt is None) if anonymous else None
        network: dict[str, Any] = {"extractor": extractor, "weights": weights, "dims": dims}
        everywhere: dict[str, Any] = {"device": device, "target": target, "low_memory": low_memory}
        scorer, other = open_scorer(reference, **network, **everywhere), None
        if second:
            if second.extractor is not None:
                network = {"extractor": second.extractor, "weights": second.weights}
            other = open_scorer(second.reference or reference, **network, **everywhere)
        console.info(f"Grading {len(share):,} submission{'s' * (len(share) != 1)} by {scorer.description}.")
        notice = notice_of(scorer, limits.count)
        collections = known_collections(reference, train, size, cache, scorer)
        grader = Grader(scorer, collections, cache, private=other, force=force, limits=limits, reader=reader)
        outcomes: list[Outcome] = []
        try:
            ours = staff if ranks.is_writer else []
            options: dict[str, Any] = {"private": other, "device": device, "force": force}
            measured = measure_baselines(ours, reference, scorer, cache, limits, **options)
            if not merge:
                grade_share(grader, share, ranks, workers, outcomes)
            if merge or ranks.world > 1:
                outcomes = merged(grader, share, out)
            counting, others = course.counting(outcomes)
            rows = course.completed(rank(counting, cache, others, by=rank_by, strict=strict_order), outcomes)
            source = about_reference(reference, scorer)
            board = Leaderboard(rows, source, scorer.description, scorer.target, notice, course.baseline_rows(measured))
            if other is not None:
                hidden = {**about_reference(second.reference or reference, other), "measure": other.description}
                board = replace(board, private=hidden, ranked_by=rank_by)
            result = result_in(board, out if shard is None else shard_folder(out, shard))
            if ranks.is_writer:
                album = Album(KnownPictures(None if holds_statistics(reference) else reference, train, size))
                _write(result, album, secret, feedback, columns)
                if upload is not None:
                    upload.write(board)
            return result
        except BaseException:  # for example, an interruption or a full disk; finished results are in the cache
            console.warn(f"Stopped after {len(outcomes)} of {len(share)}. Run the command again to continue.")
            raise


def result_in(board: Leaderboard, folder: Path) -> GradeResult:
    return GradeResult(board, *(folder / f"leaderboard.{kind}" for kind in ("csv", "json", "html")))


def _write(
    result: GradeResult, album: Album, secret: bytes | None, feedback: Path | None, columns: CsvColumns | None
) -> None:
    board = result.leaderboard
    write_text(result.csv, board.to_csv())
    write_json(result.json, board.to_json())
    write_text(result.html, board.to_html(album))
    console.info(f"Wrote {result.html}, .csv and .json.")
    called = None if secret is None else write_for_class(board, result.html.parent, secret)
    if feedback is not None:
        write_feedback(board, feedback, album, called)
    if columns is not None:
        table = result.csv.with_name("import.csv")
        write_text(table, columns.to_csv(board))
        console.info(f"Wrote {table} for the grade import.")
