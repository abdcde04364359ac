"""The grade stage: a folder of tarballs becomes a leaderboard, one row a tarball whatever it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from facegen import console
from facegen.data.images import ImageCollection, open_images
from facegen.device import choose_device
from facegen.errors import InputError
from facegen.files import StrPath, optional_path, write_json, write_text
from facegen.grading.baselines import measure_baselines, parse_baselines
from facegen.grading.course import open_course
from facegen.grading.fingerprints import KnownFaces, known_faces
from facegen.grading.flags import Collections
from facegen.grading.found import find_submissions
from facegen.grading.generators import GeneratorReader
from facegen.grading.grader import Grader
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import Outcome
from facegen.grading.ranking import rank
from facegen.grading.shares import alone_in, grade_share, merged, shard_folder, share_of
from facegen.pretrained import fingerprints
from facegen.scoring.scorer import Scorer, open_scorer
from facegen.scoring.statistics_layouts import holds_statistics, refuse_statistics
from facegen.submission.rules import GENERATOR_SUFFIX, LIMITS, limits_for
from facegen.training.distributed import Ranks, joined_ranks


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
    extractor: str | None = None,
    weights: StrPath | None = None,
    dims: int | None = None,
    device: str = "auto",
    points: StrPath | None = None,
    roster: StrPath | None = None,
    submitted_at: StrPath | None = None,
    policy: str | None = None,
    baselines: Sequence[str] = (),
) -> GradeResult:
    """Grade every tarball in the folder ``submissions`` (or that one file) into ``out/leaderboard.{csv,json,html}``.

    Under torchrun each rank grades a part of the tarballs, and all have the same leaderboard, which rank 0 writes.

    Args:
        submissions: a folder of ``<student_number>.tar.gz``, or one such file.
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
        shard: ``(i, n)``: grade the i-th of n parts alone, i from 1 to n, and write ``out/shard-i-of-n.json``, for
            other processes and machines to grade the others into the same folder.
        merge: grade nothing, and write the leaderboard of what the shards have graded.
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

    Raises:
        InputError: no submissions, an unusable reference, or a size that cannot be graded; a rubric, table or baseline
            that cannot be used; files that cannot be read, after the others are graded, without a leaderboard;
            ``merge`` where some are not graded. What a submission holds never raises.
        EnvironmentProblem: another process grades into ``out``.
    """
    submissions, reference, out = Path(submissions), Path(reference), Path(out)
    train, weights, private = optional_path(train), optional_path(weights), optional_path(private)
    has_private = private is not None or private_extractor is not None
    if rank_by not in ("public", "private") or (rank_by == "private" and not has_private):
        raise InputError(f"The submissions cannot be ranked by {rank_by!r} values.", "Name a private reference.")
    limits = limits_for(size)
    if generator_seed is not None and not from_generator:
        raise InputError("A seed draws nothing where images are handed in.", "Add --from-generator, or leave it out.")
    reader = None
    if from_generator:
        limits, workers = replace(limits, suffix=GENERATOR_SUFFIX), 1  # it is the network's device that draws
        reader = GeneratorReader(generator_seed, choose_device(device))
    rules = optional_path(points), optional_path(roster), optional_path(submitted_at), policy
    course = open_course(*rules, has_private=has_private, ranked_by=rank_by)
    staff = parse_baselines(baselines)
    found = course.dated(find_submissions(submissions, out))
    share = share_of(found, shard)
    if shard is not None:  # what is missing, or counts, only the whole class tells
        course, staff = replace(course, roster=None, policy=None), []
    if train is not None:
        refuse_statistics(train, "--train")
    cache = out / "cache"
    with joined_ranks(torch.device("cpu")) as ranks, alone_in(out, ranks, shard):
        if not ranks.is_writer:
            console.set_verbosity(console.QUIET)
        scorer = open_scorer(reference, extractor=extractor, weights=weights, dims=dims, device=device, target=target)
        other = None
        if private is not None or private_extractor is not None:
            network: dict[str, Any] = {"extractor": extractor, "weights": weights, "dims": dims}
            if private_extractor is not None:
                network = {"extractor": private_extractor, "weights": optional_path(private_weights)}
            other = open_scorer(private or reference, device=device, target=target, **network)
        console.info(f"Grading {len(share):,} submission{'s' * (len(share) != 1)} by {scorer.description}.")
        properties = scorer.reference.properties
        losses = [] if properties is None else properties.losses_in("the reference")
        for sentence in (*scorer.reference.warnings, *losses):
            console.warn(sentence)
        notice = scorer.margin_warning(limits.count)
        if notice is not None:
            console.warn(notice)
        collections = replace(known_collections(reference, train, size, cache), properties=properties)
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
            beside = course.baseline_rows(measured)
            about = _about(reference, scorer), scorer.description, scorer.target, notice, beside
            hidden = None
            if other is not None:
                hidden = {**_about(private or reference, other), "measure": other.description}
            board = Leaderboard(rows, *about, private=hidden, ranked_by=rank_by)
            return _write(board, out if shard is None else shard_folder(out, shard), ranks)
        except BaseException:  # interrupted, or a full disk: what was graded is in the cache
            console.warn(f"Stopped after {len(outcomes)} of {len(share)}: run it again to go on from there.")
            raise


def _about(reference: Path, scorer: Scorer) -> dict[str, Any]:
    measured = scorer.reference
    return {"name": reference.name, "n": measured.statistics.n, "sha256": measured.sha256}


def _write(leaderboard: Leaderboard, out: Path, ranks: Ranks) -> GradeResult:
    result = GradeResult(leaderboard, *(out / f"leaderboard.{kind}" for kind in ("csv", "json", "html")))
    if ranks.is_writer:
        write_text(result.csv, leaderboard.to_csv())
        write_json(result.json, leaderboard.to_json())
        write_text(result.html, leaderboard.to_html())
        console.info(f"Wrote {result.html}, .csv and .json.")
    return result


def known_collections(reference: Path, train: Path | None, size: int, cache: Path) -> Collections:
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
