"""Checks that each extractor's weights are installed and have the published sha256."""

from __future__ import annotations

from facegen.checks.check import CheckResult
from facegen.extractors.table import DEFAULT, Extractor, extractors


def check_all_weights() -> list[CheckResult]:
    """Return one result per extractor in the table, named after it."""
    return [check_weights(entry) for entry in extractors().values()]


def check_weights(entry: Extractor) -> CheckResult:
    """Check that an extractor's weights are installed and right. Nothing is downloaded."""
    weights, name = entry.weights, f"{entry.name} weights"
    found = weights.find()
    details = {
        "path": None if found is None else str(found.path),
        "sha256": None if found is None else found.sha256,
        "published_sha256": weights.sha256,
    }
    if found is None:
        absent = f"The weights of {entry.name} are not installed."
        if weights.needed:
            message = f"{absent} They come with facegen's installation or an extension's."
            return CheckResult("wrong", message, f"Run: {weights.command}", details, name)
        if entry.name == DEFAULT:
            message = f"{absent} Another extractor's distance is no FID."
            return CheckResult("warn", message, f"Run: {weights.command}", details, name)
        message = f"{absent} Only --extractor {entry.name} needs them: {weights.command}"
        return CheckResult("ok", message, None, details, name)
    if not found.right:
        message = f"{found.path} is not the published file: its sha256 is {found.sha256}, not {weights.sha256}."
        return CheckResult("wrong", message, weights.reinstall, details, name)
    return CheckResult("ok", f"{found.path} is the published file by its sha256.", None, details, name)
