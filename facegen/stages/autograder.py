"""The autograder stage: a reference and a rubric become the zip that grades a course's submissions on Gradescope."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.extractors.table import extractor_of
from facegen.files import StrPath, optional_path, require_place, writing_told
from facegen.grading.autograder_zip import REFERENCE, RUBRIC, WEIGHTS, requirements, scripts, write_zip
from facegen.scoring.scorer import open_scorer
from facegen.submission.rules import LIMITS, limits_for
from facegen.toml_file import read_toml

#: Bytes of a zip above which somebody should know before the upload.
_LARGE = 100_000_000


@dataclass(frozen=True)
class AutograderResult:
    """An autograder for Gradescope.

    Attributes:
        path: the zip.
        description: what it measures, in words.
        floor: what as many real images as a submission has score; None where that cannot be measured.
    """

    path: Path
    description: str
    floor: float | None


def autograder(
    *,
    reference: StrPath,
    out: StrPath = Path("autograder.zip"),
    points: StrPath | None = None,
    target: float | None = None,
    size: int = LIMITS.size,
    extractor: str | None = None,
    weights: StrPath | None = None,
    dims: int | None = None,
    device: str = "auto",
) -> AutograderResult:
    """Write the zip that Gradescope takes as an autograder to ``out``.

    It has facegen as it runs now, the reference's statistics, which are computed here, and the floor. Images of the
    reference are not in it: so copies of them are not looked for there.

    Args:
        reference: real images, or their statistics.
        out: the zip.
        points: the course's rubric, TOML.
        target: pass below this value.
        size: width and height in pixels of the images that are asked for.
        extractor, weights, dims, device: what to measure with, as for :func:`facegen.fid`. Weights that are given are
            put into the zip; published ones are fetched when Gradescope builds the autograder.

    Raises:
        InputError: a reference, a rubric or an extractor that cannot be used, or that Gradescope's machine would lack.
        EnvironmentProblem: ``out`` cannot be written.
    """
    reference, out = Path(reference), Path(out)
    points, weights = optional_path(points), optional_path(weights)
    limits = limits_for(size)
    with writing_told(f"Cannot write {out}", "Name another place for it."):
        require_place(out)
    if points is not None:
        read_toml(points, f"The rubric {points}")
    if extractor is not None and ":" in extractor:
        raise InputError(
            f"{extractor} is a function of your own, which Gradescope's machine has not.",
            f"Choose an extractor of facegen's for {out}.",
        )
    scorer = open_scorer(reference, extractor=extractor, weights=weights, dims=dims, device=device, target=target)
    for sentence in scorer.reference.warnings:
        console.warn(sentence)
    if (notice := scorer.margin_warning(limits.count)) is not None:
        console.warn(notice)
    floor = scorer.floor(limits.count)
    asked = requirements()
    entry = extractor_of(scorer.extractor.name)
    fetched = entry.name if entry is not None and weights is None else None
    texts = scripts(
        torch=asked["torch"],
        weights=weights is not None,
        rubric=points is not None,
        published=fetched,
        options={
            "extractor": None if entry is None else entry.name,
            "dims": scorer.extractor.dims,
            "size": size,
            "target": scorer.target,
            "device": "cpu",
        },
    )
    texts["requirements.txt"] = "".join(f"{line}\n" for name, line in sorted(asked.items()) if name != "torch")
    with tempfile.TemporaryDirectory() as folder:
        statistics = Path(folder) / REFERENCE
        scorer.save_reference(statistics, for_sets_of=limits.count)
        files = {REFERENCE: statistics}
        files |= {} if weights is None else {WEIGHTS: weights}
        files |= {} if points is None else {RUBRIC: points}
        with writing_told(f"Cannot write {out}", "Make room there, or name another place for it."):
            write_zip(out, texts, files)
    _tell(out, scorer.description, fetched)
    return AutograderResult(out, scorer.description, floor)


def _tell(out: Path, description: str, fetched: str | None) -> None:
    size = out.stat().st_size
    console.info(f"Wrote {out} ({size / 1e6:.1f} MB): it grades by {description}.")
    console.info(
        "Copies of the reference's images are not looked for on Gradescope: the zip has their statistics alone."
    )
    if fetched is not None:
        console.info(
            f"The weights of {fetched} are fetched when Gradescope builds the autograder, which takes a network."
        )
    if size > _LARGE:
        console.warn(f"{out} is large: see that Gradescope takes {size / 1e6:,.0f} MB.")
