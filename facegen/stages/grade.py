"""The grade stage: a folder of tarballs becomes a leaderboard, one row a tarball whatever it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from facegen import console
from facegen.data.images import ImageCollection, open_images
from facegen.errors import InputError
from facegen.extractors.low_memory import give_back_at_once
from facegen.files import StrPath, optional_path, write_json, write_text
from facegen.grading.csv_columns import CsvColumns
from facegen.grading.fingerprints import KnownFaces, known_faces
from facegen.grading.flags import Collections
from facegen.grading.found import Found, find_submissions, some
from facegen.grading.grader import Grader
from facegen.grading.gradescope import Upload, failures_told
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import Outcome
from facegen.grading.ranking import rank
from facegen.locks import sole_use
from facegen.pretrained import fingerprints
from facegen.scoring.scorer import open_scorer
from facegen.scoring.statistics_layouts import holds_statistics, refuse_statistics
from facegen.submission.open_tarball import UnreadableTarball
from facegen.submission.rules import LIMITS, limits_for


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


def grade(
    submissions: StrPath,
    *,
    reference: StrPath,
    train: StrPath | None = None,
    target: float | None = None,
    size: int = LIMITS.size,
    out: StrPath = Path("grades"),
    force: bool = False,
    extractor: str | None = None,
    weights: StrPath | None = None,
    dims: int | None = None,
    device: str = "auto",
    low_memory: bool = False,
    number_pattern: str | None = None,
    gradescope: bool = False,
    csv_columns: str | None = None,
) -> GradeResult:
    """Grade every tarball in the folder or zip ``submissions``, or that file, into ``out/leaderboard.{csv,json,html}``.

    Args:
        submissions: a folder of ``<student_number>.tar.gz``, what Moodle, Canvas or nbgrader lays out, a zip of
            either, or one file.
        reference: real images, or their statistics; where it has images, copies of them are looked for.
        train: images the generators were trained on, to look for copies.
        target: pass below this value.
        size: width and height in pixels of the images that are asked for, a multiple of 32; others are ``wrong_size``.
        out: the folder to write to; finished results are cached in it, so that a second run goes on where one stopped.
        force: grade again what has been graded before.
        extractor, weights, dims, device: what to measure with, as for :func:`facegen.fid`.
        number_pattern: a regular expression that finds the student number in a file's path below ``submissions``.
        gradescope: ``submissions`` is Gradescope's folder of one submission, and ``results/results.json`` beside it is
            written (:mod:`facegen.grading.gradescope`).
        csv_columns: ``"Header=field,…"``, or a preset's name: also write ``out/import.csv`` for a platform's grade
            import (:mod:`facegen.grading.csv_columns`).
        low_memory: take longer, and as little memory as can be; the values are the same but for rounding.

    Raises:
        InputError: no submissions, an unusable reference, or a size that cannot be graded; files that cannot be read,
            after the others are graded, without a leaderboard. What a submission holds never raises.
        EnvironmentProblem: another process grades into ``out``.
    """
    submissions, reference, out = Path(submissions), Path(reference), Path(out)
    train, weights = optional_path(train), optional_path(weights)
    limits = limits_for(size)
    if low_memory:
        give_back_at_once()
    columns = None if csv_columns is None else CsvColumns.parse(csv_columns)
    upload = Upload.begin(submissions) if gradescope else None
    files = find_submissions(submissions, out, number_pattern) if upload is None else [upload.found()]
    if train is not None:
        refuse_statistics(train, "--train")
    cache = out / "cache"
    with failures_told(upload), sole_use(cache, f"grades into {out}"):
        scorer = open_scorer(
            reference,
            extractor=extractor,
            weights=weights,
            dims=dims,
            device=device,
            target=target,
            low_memory=low_memory,
        )
        console.info(f"Grading {len(files):,} submission{'s' * (len(files) != 1)} by {scorer.description}.")
        properties = scorer.reference.properties
        losses = [] if properties is None else properties.losses_in("the reference")
        for sentence in (*scorer.reference.warnings, *losses):
            console.warn(sentence)
        notice = scorer.margin_warning(limits.count)
        if notice is not None:
            console.warn(notice)
        collections = replace(_collections(reference, train, size, cache), properties=properties)
        grader = Grader(scorer, collections, cache, force=force, limits=limits)
        outcomes: list[Outcome] = []
        try:
            _grade_all(grader, files, outcomes)
            measured = scorer.reference
            source = {"name": reference.name, "n": measured.statistics.n, "sha256": measured.sha256}
            rows = rank(outcomes, cache)
            result = _write(Leaderboard(rows, source, scorer.description, scorer.target, notice), out)
            if columns is not None:
                write_text(out / "import.csv", columns.to_csv(result.leaderboard))
                console.info(f"Wrote {out / 'import.csv'} for the grade import.")
            if upload is not None:
                upload.write(result.leaderboard)
            return result
        except BaseException:  # interrupted, or a full disk: what was graded is in the cache
            console.warn(f"Stopped after {len(outcomes)} of {len(files)}: run it again to go on from there.")
            raise


def _grade_all(grader: Grader, files: list[Found], outcomes: list[Outcome]) -> None:
    """Append the outcome of each file. InputError at the end where some could not be read: nothing is known of them."""
    unread = []
    with console.progress("Grading", total=len(files), unit="submissions") as task:
        for file in files:
            task.note(file.file[:40])
            try:
                outcomes.append(grader.grade(file))
                console.info(_line(outcomes[-1]))
            except UnreadableTarball as problem:
                if len(files) == 1:
                    raise
                console.warn(str(problem))
                unread.append(file.file)
            task.advance()
    if unread:
        raise InputError(
            f"Of {len(files):,} submissions {len(unread):,} could not be read: {some(unread)}. "
            "So there is no leaderboard.",
            "Let them be read, or take them out, and run it again: what is graded is kept.",
        )


def _write(leaderboard: Leaderboard, out: Path) -> GradeResult:
    result = GradeResult(leaderboard, *(out / f"leaderboard.{kind}" for kind in ("csv", "json", "html")))
    write_text(result.csv, leaderboard.to_csv())
    write_json(result.json, leaderboard.to_json())
    write_text(result.html, leaderboard.to_html())
    console.info(f"Wrote {result.html}, .csv and .json.")
    return result


def _collections(reference: Path, train: Path | None, size: int, cache: Path) -> Collections:
    """The images in which copies are looked for."""
    # Both are opened before the work, which one that cannot be used would waste.
    training_images = None if train is None else open_images(train)
    faces = training = None
    if holds_statistics(reference):
        console.info(f"{reference.name} holds statistics, not images: copies of the reference are not looked for.")
    else:
        faces = _known(reference, open_images(reference), "reference", size, cache)
    if train is not None and training_images is not None:
        for sentence in () if train.resolve() == reference.resolve() else training_images.warnings:
            console.warn(sentence)
        training = _known(train, training_images, "training", size, cache)
    return Collections(faces, training, fingerprints())


def _known(path: Path, images: ImageCollection, what: str, size: int, cache: Path) -> KnownFaces:
    console.detail(f"Looking at {len(images):,} {what} images to recognise copies.")
    return known_faces(path, images.sha256, size, cache)


def _line(outcome: Outcome) -> str:
    if outcome.rejection is not None:
        return f"{outcome.file}: rejected ({outcome.rejection.code.value}). {outcome.rejection.message}"
    assert outcome.graded is not None
    score, flags = outcome.graded.score, ", ".join(flag.name for flag in outcome.graded.flags)
    return f"{outcome.file}: {score.label} {score.value:.2f}{'; ' + flags if flags else ''}."
