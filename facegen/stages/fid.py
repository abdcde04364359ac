"""Score images against a reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facegen import console
from facegen.data.images import open_images
from facegen.errors import InputError
from facegen.files import StrPath, optional_path
from facegen.scoring.features import require_enough
from facegen.scoring.score import Score
from facegen.scoring.scorer import open_scorer
from facegen.scoring.statistics_layouts import holds_statistics, open_statistics, refuse_statistics


def fid(
    images: StrPath,
    reference: StrPath,
    *,
    extractor: str | None = None,
    weights: StrPath | None = None,
    dims: int | None = None,
    device: str = "auto",
    target: float | None = None,
    save_stats: StrPath | None = None,
    all_metrics: bool = False,
    train: StrPath | None = None,
    report: StrPath | None = None,
) -> Score:
    """The Fréchet distance between two sets of images: FID with the published Inception weights at 2,048 dims.

    With another extractor it has that one's name: ``"FD_DINOv2"``, ``"effnet-lite0 FD"``.

    Args:
        images: a folder (nested too), ``.zip``, ``.tar.gz`` or prepared dataset of at least two images; or statistics
            of images, as for ``reference``, and then the score has no interval, and no n where they do not tell.
        reference: the same; statistics are an ``.npz`` with ``mu`` and ``sigma`` in pytorch-fid's layout, or another of
            the layouts in docs/input.md.
        extractor: ``"inception"``, ``"effnet-lite0"``, ``"dinov2"`` or another name in
            :mod:`facegen.extractors.table`; a function of your own as ``"package.module:callable"``; or None for the
            one that statistics name, else Inception where its weights can be had, and effnet-lite0 otherwise.
        weights: a state dict to use instead of the extractor's published one; Inception's where none is named.
        dims: features an image, of those that the extractor offers (64, 192, 768 or 2048 of Inception); None for its
            default, or those of statistics.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        target: the value to stay below; None is 20 for FID, and no target for another distance.
        save_stats: an ``.npz`` to write the reference's statistics to, for use as ``reference`` later.
        all_metrics: fill ``metrics``: all of :mod:`facegen.scoring.metric_table`, a search for copies among them.
        train: more images in which to look for copies; needs ``all_metrics``.
        report: a folder to write the whole evaluation to as a page, ``index.html``; implies ``all_metrics``.

    Raises:
        InputError: images, statistics, weights or options that cannot be used.
        EnvironmentProblem: the chosen extractor's weights, or the device, are not there.
    """
    images, reference = Path(images), Path(reference)
    weights, save_stats = optional_path(weights), optional_path(save_stats)
    train, report = optional_path(train), optional_path(report)
    if save_stats is not None and save_stats.suffix.lower() != ".npz":
        raise InputError(f"--save-stats {save_stats} does not end in .npz.", f"Call it {save_stats}.npz, for example.")
    all_metrics = all_metrics or report is not None
    if train is not None and not all_metrics:
        raise InputError("--train is where --all-metrics looks for copies.", "Add --all-metrics, or leave it out.")
    statistics = open_statistics(images) if holds_statistics(images) else None
    if all_metrics:
        what = "--report" if report is not None else "--all-metrics"
        for path in (images, reference):
            refuse_statistics(path, what)
    if train is not None:
        refuse_statistics(train, "--train")
    # Everything is opened before anything is read, so that a wrong path is known at once.
    collection = None if statistics is not None else open_images(images)
    if collection is not None:
        require_enough(len(collection), str(images))
        collection.say_remark()
    training = None if train is None else open_images(train)
    for sentence in () if training is None else training.warnings:
        console.warn(sentence)
    scorer = open_scorer(
        reference, extractor=extractor, weights=weights, dims=dims, device=device, target=target, images=statistics
    )
    if save_stats is not None:
        scorer.save_reference(save_stats)
    if collection is None:
        assert statistics is not None
        score = scorer.score_statistics(statistics)
        nobody_says = extractor is None and weights is None and statistics.extractor is None
        if nobody_says and holds_statistics(reference) and open_statistics(reference).extractor is None:
            taken = f"Neither {images} nor {reference} says which network made it: {scorer.extractor.name} is assumed."
            score = replace(score, warnings=(taken, *score.warnings))
        return score
    if not all_metrics:
        return scorer.score_collection(collection)
    evaluation = scorer.evaluate(collection, training)
    if report is not None:
        from facegen.scoring.report import write_report  # Jinja2 is needed for nothing else here

        write_report(evaluation, report)
    return evaluation.score


def scorer_key(
    reference: StrPath, *, extractor: str | None = None, weights: StrPath | None = None, device: str = "auto"
) -> str:
    """A hash that changes whenever :func:`fid` of the same images against ``reference`` could, with these options."""
    scorer = open_scorer(Path(reference), extractor=extractor, weights=optional_path(weights), device=device)
    return f"{scorer.key} {scorer.target}"
