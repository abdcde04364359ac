"""The grade stage: a folder of tarballs becomes a leaderboard, one row a tarball whatever it holds."""

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
    """A graded folder.

    Attributes:
        leaderboard: every row, in order.
        csv, json, html: the files written.
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
    """Grade every tarball in the folder or zip ``submissions``, or that file, into ``out/leaderboard.{csv,json,html}``.

    Under torchrun each rank grades a part of the tarballs, and all have the same leaderboard, which rank 0 writes.

    Args:
        submissions: a folder of ``<student_number>.tar.gz``, what Moodle, Canvas or nbgrader lays out, a zip of
            either, or one file.
        reference: real images, or their statistics; where it has images, copies of them are looked for.
        private: another reference, which the class does not know: every submission has a second value against it.
        private_extractor, private_weights: what to measure that value with, if not as the public one; without
            ``private``, against the same reference.
        rank_by: ``"public"`` or ``"private"``: the value that ranks.
        strict_order: rank by value alone. Otherwise submissions whose values do not differ by more than their errors
            do not outrank one another.
        train: images the generators were trained on, to look for copies.
        target: pass below this value.
        size: width and height in pixels of the images that are asked for, a multiple of 32; others are ``wrong_size``.
        from_generator: the submissions are generators, ``<student_number>.safetensors``; their images are drawn here.
        generator_seed: what they are drawn with; None takes the seed that each was packed with.
        out: the folder to write to; finished results are cached in it, so that a second run goes on where one stopped.
        force: grade again what has been graded before.
        workers: processes that read tarballs ahead of the network; 1 for none. None chooses by their number and the
            cores.
        shard: ``(i, n)``: grade the i-th of n parts alone, i from 1 to n, and write the board of that into
            ``out/shard-i-of-n``, for other processes and machines to grade the others into the same folder.
        merge: grade nothing, and write the leaderboard of what the shards have graded.
        anonymous: write the class's own board, too, ``out/class.html``, with pseudonyms in place of students.
        salt: a file with the secret that pseudonyms are made with; ``out/salt.txt``, made where it is absent, unless it
            is given.
        feedback: a folder for a page a student, ``<student_number>.html``; earlier pages in it are replaced.
        extractor, weights, dims, device: what to measure with, as for :func:`facegen.fid`.
        points: the course's rubric, a TOML file: bands of the value that earn points, and what lateness costs.
        roster: a CSV with a column of student numbers: who handed in nothing gets a row, and a number that is not on it
            is said.
        submitted_at: a CSV that tells when files, or students, handed in.
        policy: which of a student's submissions counts, ``"latest"`` or ``"best"``, which is the one with the most
            points, or without a rubric of the lowest value; None gives each file a row of its own.
        baselines: what to measure beside the class, in no rank: ``"real"`` (held-out images of the reference),
            ``"reference"`` (images of its own, as a copy would be) or ``"NAME=PATH"`` (images, or a generator's
            .safetensors), as many images each as a submission has.
        number_pattern: a regular expression that finds the student number in a file's path below ``submissions``.
        gradescope: ``submissions`` is Gradescope's folder of one submission, and ``results/results.json`` beside it is
            written (:mod:`facegen.grading.gradescope`).
        csv_columns: ``"Header=field,…"``, or a preset's name: also write ``out/import.csv`` for a platform's grade
            import (:mod:`facegen.grading.csv_columns`).
        low_memory: take longer, and as little memory as can be; the values are the same but for rounding.

    Raises:
        InputError: no submissions, an unusable reference, or a size that cannot be graded; a rubric, table, baseline,
            salt or folder for feedback that cannot be used; files that cannot be read, after the others are graded,
            without a leaderboard; ``merge`` where some are not graded. What a submission holds never raises.
        EnvironmentProblem: another process grades into ``out``.
    """
    submissions, reference, out = Path(submissions), Path(reference), Path(out)
    train, weights, feedback = map(optional_path, (train, weights, feedback))
    if rank_by not in RANK_BY:
        raise InputError(f"Nothing is ranked by {rank_by!r}.", f"Use one of: {', '.join(RANK_BY)}.")
    second = PrivateMeasure(
        optional_path(private), private_extractor, optional_path(private_weights), rank_by == "private"
    )
    second.require()
    limits, reader = limits_for(size), None
    if low_memory:
        give_back_at_once()
    if generator_seed is not None and not from_generator:
        raise InputError("A seed draws nothing where images are handed in.", "Add --from-generator, or leave it out.")
    if from_generator:
        limits, workers = replace(limits, suffix=GENERATOR_SUFFIX), 1  # it is the network's device that draws
        reader = GeneratorReader(generator_seed, choose_device(device))
    columns = None if csv_columns is None else CsvColumns.parse(csv_columns)
    upload = Upload.begin(submissions) if gradescope else None
    rules = optional_path(points), optional_path(roster), optional_path(submitted_at), policy
    course = open_course(*rules, has_private=bool(second), ranked_by=rank_by)
    staff = parse_baselines(baselines)
    files = [upload.found()] if upload else find_submissions(submissions, out, number_pattern)
    # Now, as the limits tell what a submission is called: times and deadlines go by the number.
    found = course.dated([replace(each, student_number=number_of(each, limits)) for each in files])
    share = share_of(found, shard)
    if shard is not None:  # who is missing, and which attempt counts, the whole class tells alone
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
        except BaseException:  # interrupted, or a full disk: what was graded is in the cache
            console.warn(f"Stopped after {len(outcomes)} of {len(share)}: run it again to go on from there.")
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
