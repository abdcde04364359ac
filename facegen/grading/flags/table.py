"""The table of flags. The leaderboard shows a submission's flags in this order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.code_hash import code_hash
from facegen.errors import in_words
from facegen.grading.flags import colours, copies, faces, origin, pixel_values
from facegen.grading.flags.rule import Finding, Flag, FlagRule, SharedImages, SubmittedImages

#: Every flag by its code.
FLAGS: dict[str, FlagRule] = {
    rule.code: rule
    for rule in (
        copies.DUPLICATE_IMAGES,
        pixel_values.NOT_DENORMALISED,
        colours.WRONG_COLOURS,
        pixel_values.LOW_DIVERSITY,
        faces.NO_FACES,
        origin.SAMPLING,
        origin.TRAINED_AGAINST,
        copies.COPIED_FROM_REFERENCE,
        copies.COPIED_FROM_TRAINING,
        copies.PRETRAINED_GENERATOR,
        copies.SHARED_WITH,
    )
}


def register_flag(rule: FlagRule) -> FlagRule:
    """Add a flag to the table; it is then checked in every submission that is graded. Other packages may call this.

    A module that is loaded again replaces its own flag.

    Raises:
        ValueError: Another module has a flag with this code.
    """
    if rule.code in FLAGS and FLAGS[rule.code].module != rule.module:
        raise ValueError(f"another module has a flag {rule.code} already")
    FLAGS[rule.code] = rule
    return rule


def measured_of(images: npt.NDArray[np.uint8]) -> tuple[dict[str, npt.NDArray[np.float64]], list[str]]:
    """Return the results of the rules' measures on images uint8 [N, S, S, 3], by code, and a sentence for each error.

    The results depend only on the images and on :func:`code_of_measures`. They may be kept under both if there was no
    error.
    """
    measured, broken = {}, []
    for rule in FLAGS.values():
        if rule.measure is None:
            continue
        try:
            measured[rule.code] = np.asarray(rule.measure(images), dtype=np.float64)
        except MemoryError:
            raise  # a later run with more memory measures it
        except Exception as problem:  # noqa: BLE001 - anyone may write a measure, and its error is not the student's
            broken.append(_not_looked_for(rule.code, problem))
    return measured, broken


def flags_of(submission: SubmittedImages) -> tuple[list[Flag], list[str]]:
    """Return the flags that a submission gets by itself, in the table's order, and a sentence for each error.

    A flag whose measure raised an error is skipped, because :func:`measured_of` has reported it.
    """
    return _raised(
        (rule.code, partial(rule.check, submission))
        for rule in FLAGS.values()
        if rule.check is not None and (rule.measure is None or rule.code in submission.measured)
    )


def shared_flags_of(shared: Sequence[SharedImages]) -> tuple[list[Flag], list[str]]:
    """Return the flags that a submission gets for images shared with others, and a sentence for each error."""
    return _raised(
        (f"{rule.code}:{other.student_number}", partial(rule.compare, other))
        for rule in FLAGS.values()
        if rule.compare is not None
        for other in shared
    )


def _raised(checks: Iterable[tuple[str, Callable[[], Finding | None]]]) -> tuple[list[Flag], list[str]]:
    """Return the flags that these checks raise.

    Each check comes with the flag's name. An error costs only that flag.
    """
    flags, broken = [], []
    for name, check in checks:
        try:
            finding = check()
            if finding is not None:
                _check_evidence(finding.details)
                flags.append(Flag(name, finding.message, finding.details))
        except MemoryError:
            raise  # a later run with more memory completes the check
        except Exception as problem:  # noqa: BLE001 - anyone may write a check, and its error is not the student's
            broken.append(_not_looked_for(name, problem))
    return flags, broken


def _not_looked_for(name: str, problem: Exception) -> str:
    return f"The flag {name} could not be checked ({in_words(problem)})."


def _check_evidence(details: dict[str, Any]) -> None:
    """Raise TypeError, ValueError or KeyError if details cannot be stored as JSON or shown on the page."""
    json.dumps(details, allow_nan=False)
    for example in details.get("examples", ()):
        for key in ("image", "match", "distance", "mirrored"):
            example[key]


def code_of_checks(module: str) -> str:
    """Return a hash of the code of ``module`` and of all checks. It changes whenever a submission's flags may change.

    For a registered flag, this covers the module of its check and what that imports from its own package and from
    facegen, but not other packages.
    """
    modules = sorted({module, *(rule.module for rule in FLAGS.values() if rule.check is not None)})
    code = code_hash(*modules)
    rules = [[rule.code, rule.threshold] for rule in FLAGS.values() if rule.check is not None]
    return hashlib.sha256(json.dumps([code, rules]).encode()).hexdigest()


def code_of_measures() -> str:
    """Return a hash of the code of all measures. It changes whenever their results may change.

    The code of a check does not count if the measure has a module of its own, so a new threshold does not lead to new
    measurements.
    """
    rules = [rule for rule in FLAGS.values() if rule.measure is not None]
    code = code_hash(*sorted({rule.measure.__module__ for rule in rules if rule.measure is not None}))
    others = [[rule.code, rule.measured_by() if rule.measured_by is not None else ""] for rule in rules]
    return hashlib.sha256(json.dumps([code, others]).encode()).hexdigest()
