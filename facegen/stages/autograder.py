"""The autograder stage: it makes the zip that grades a course's submissions on Gradescope."""

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

#: Size of a zip, in bytes, above which a warning is printed before the upload.
_LARGE = 100_000_000


@dataclass(frozen=True)
class AutograderResult:
    """An autograder for Gradescope.

    Attributes:
        path: The path of the zip.
        description: The measure in words.
        floor: The score of as many real images as a submission has; None if it cannot be measured.
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

    It holds facegen as it is installed, the statistics of the reference, which are computed here, and the floor. It
    does not hold the images of the reference, so submissions are not searched for copies of them on Gradescope.

    Args:
        reference: Real images or their statistics.
        out: The path of the zip.
        points: The course's rubric, a TOML file.
        target: A submission passes if its value is below this one.
        size: Width and height of the images in pixels.
        extractor, weights, dims, device: The feature extractor, its weights file, the number of feature dimensions and
            the device, as in :func:`facegen.fid`. A weights file is put into the zip. Published weights are downloaded
            when Gradescope builds the autograder.

    Raises:
        InputError: A reference, rubric or extractor cannot be used, or Gradescope's machine would lack it.
        EnvironmentProblem: ``out`` cannot be written.
    """
    reference, out = Path(reference), Path(out)
    points, weights = optional_path(points), optional_path(weights)
    limits = limits_for(size)
    with writing_told(f"Cannot write {out}", "Choose another path with --out."):
        require_place(out)
    if points is not None:
        read_toml(points, f"The rubric {points}")
    if extractor is not None and ":" in extractor:
        raise InputError(
            f"{extractor} is a function of your own, which Gradescope's machine does not have.",
            f"Choose one of facegen's extractors for {out}.",
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
        with writing_told(f"Cannot write {out}", "Free some space, or choose another path with --out."):
            write_zip(out, texts, files)
    _tell(out, scorer.description, fetched)
    return AutograderResult(out, scorer.description, floor)


def _tell(out: Path, description: str, fetched: str | None) -> None:
    size = out.stat().st_size
    console.info(f"Wrote {out} ({size / 1e6:.1f} MB). It grades by {description}.")
    console.info(
        "On Gradescope, copies of the reference's images cannot be found, because the zip holds only their statistics."
    )
    if fetched is not None:
        console.info(
            f"Gradescope downloads the weights of {fetched} when it builds the autograder, which needs network access."
        )
    if size > _LARGE:
        console.warn(f"{out} is large. Check that Gradescope accepts {size / 1e6:,.0f} MB.")
