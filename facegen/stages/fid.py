"""Fid: scores images against a reference."""

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
    """Compute the Fréchet distance between two sets of images.

    It is FID with the published Inception weights at 2,048 dims. With another extractor it has that extractor's name,
    such as ``"FD_DINOv2"`` or ``"effnet-lite0 FD"``.

    Args:
        images: A folder (nested too), ``.zip``, ``.tar.gz`` or prepared dataset with at least two images. Or
            statistics of images, as for ``reference``; the score then has no interval, and no n if the statistics do
            not contain it.
        reference: The same. Statistics are an ``.npz`` with ``mu`` and ``sigma`` in pytorch-fid's layout, or in
            another layout of docs/input.md.
        extractor: ``"inception"``, ``"effnet-lite0"``, ``"dinov2"`` or another name in
            :mod:`facegen.extractors.table`, or ``"package.module:callable"`` for a function of your own. None takes
            the extractor that statistics name, else Inception if its weights are available, else effnet-lite0.
        weights: A state dict to use instead of the extractor's published one. Without ``extractor``, it is Inception's.
        dims: Number of features per image, one of those that the extractor offers (64, 192, 768 or 2048 for
            Inception). None for its default, or for that of the statistics.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        target: The value that the score must stay below. None means 20 for FID, and no target for another distance.
        save_stats: An ``.npz`` to write the reference statistics to, for use as ``reference`` later.
        all_metrics: Compute all metrics of :mod:`facegen.scoring.metric_table`, including a search for copies, in
            ``metrics``.
        train: More images in which to search for copies. It requires ``all_metrics``.
        report: A folder for the whole evaluation as a page, ``index.html``. It implies ``all_metrics``.

    Raises:
        InputError: Images, statistics, weights or options cannot be used.
        EnvironmentProblem: The extractor's weights or the device are missing.
    """
    images, reference = Path(images), Path(reference)
    weights, save_stats = optional_path(weights), optional_path(save_stats)
    train, report = optional_path(train), optional_path(report)
    if save_stats is not None and save_stats.suffix.lower() != ".npz":
        raise InputError(f"--save-stats {save_stats} does not end in .npz.", f"Call it {save_stats}.npz, for example.")
    all_metrics = all_metrics or report is not None
    if train is not None and not all_metrics:
        raise InputError("--train has no effect without --all-metrics.", "Add --all-metrics, or leave --train out.")
    statistics = open_statistics(images) if holds_statistics(images) else None
    if all_metrics:
        what = "--report" if report is not None else "--all-metrics"
        for path in (images, reference):
            refuse_statistics(path, what)
    if train is not None:
        refuse_statistics(train, "--train")
    # Open everything before reading anything, so that a wrong path is reported at once.
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
        from facegen.scoring.report import write_report  # imported here because only the report needs Jinja2

        write_report(evaluation, report)
    return evaluation.score


def scorer_key(
    reference: StrPath, *, extractor: str | None = None, weights: StrPath | None = None, device: str = "auto"
) -> str:
    """Return a hash that changes whenever the score of the same images could change with these options."""
    scorer = open_scorer(Path(reference), extractor=extractor, weights=optional_path(weights), device=device)
    return f"{scorer.key} {scorer.target}"
