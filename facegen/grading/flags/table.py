"""The table of flags. The leaderboard shows a submission's flags in its order."""

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
    """Add a flag to the table, from outside the package too: every submission graded from then on is checked for it.

    A module that is loaded again replaces its own.

    Raises:
        ValueError: another module has a flag of that code.
    """
    if rule.code in FLAGS and FLAGS[rule.code].module != rule.module:
        raise ValueError(f"there is a flag {rule.code} already")
    FLAGS[rule.code] = rule
    return rule


def measured_of(images: npt.NDArray[np.uint8]) -> tuple[dict[str, npt.NDArray[np.float64]], list[str]]:
    """What the rules' measures say of images uint8 [N, S, S, 3], by the rules' codes; a sentence for each that broke.

    It depends on the images and on :func:`code_of_measures` alone, and may be kept by them where nothing broke.
    """
    measured, broken = {}, []
    for rule in FLAGS.values():
        if rule.measure is None:
            continue
        try:
            measured[rule.code] = np.asarray(rule.measure(images), dtype=np.float64)
        except MemoryError:
            raise  # another run, with more memory, measures it
        except Exception as problem:  # noqa: BLE001 - the measure may be anybody's, and is no submission's fault
            broken.append(_not_looked_for(rule.code, problem))
    return measured, broken


def flags_of(submission: SubmittedImages) -> tuple[list[Flag], list[str]]:
    """The flags that a submission earns by itself, in the table's order; and a sentence for each check that broke.

    A flag whose measure broke is passed over: :func:`measured_of` has said so.
    """
    return _raised(
        (rule.code, partial(rule.check, submission))
        for rule in FLAGS.values()
        if rule.check is not None and (rule.measure is None or rule.code in submission.measured)
    )


def shared_flags_of(shared: Sequence[SharedImages]) -> tuple[list[Flag], list[str]]:
    """The flags that a submission earns beside each other one that has some of its images; and what broke."""
    return _raised(
        (f"{rule.code}:{other.student_number}", partial(rule.compare, other))
        for rule in FLAGS.values()
        if rule.compare is not None
        for other in shared
    )


def _raised(checks: Iterable[tuple[str, Callable[[], Finding | None]]]) -> tuple[list[Flag], list[str]]:
    """The flags that these checks, each with the flag's name, raise. One that breaks costs its flag and no more."""
    flags, broken = [], []
    for name, check in checks:
        try:
            finding = check()
            if finding is not None:
                _check_evidence(finding.details)
                flags.append(Flag(name, finding.message, finding.details))
        except MemoryError:
            raise  # another run, with more memory, finds what there is
        except Exception as problem:  # noqa: BLE001 - the check may be anybody's, and is no submission's fault
            broken.append(_not_looked_for(name, problem))
    return flags, broken


def _not_looked_for(name: str, problem: Exception) -> str:
    return f"The flag {name} could not be looked for ({in_words(problem)})."


def _check_evidence(details: dict[str, Any]) -> None:
    """TypeError, ValueError or KeyError where details cannot be stored as JSON or shown on the page."""
    json.dumps(details, allow_nan=False)
    for example in details.get("examples", ()):
        for key in ("image", "match", "distance", "mirrored"):
            example[key]


def code_of_checks(module: str) -> str:
    """A hash that changes whenever the flags of the same submission could: of a module's code and of all checks'.

    Of a registered flag that is the code of its check's module, and of what that imports of its own package and of
    facegen: not of others.
    """
    modules = sorted({module, *(rule.module for rule in FLAGS.values() if rule.check is not None)})
    code = code_hash(*modules)
    rules = [[rule.code, rule.threshold] for rule in FLAGS.values() if rule.check is not None]
    return hashlib.sha256(json.dumps([code, rules]).encode()).hexdigest()


def code_of_measures() -> str:
    """A hash that changes whenever what the measures say of the same images could: of the code of their modules.

    The code of checks does not count, where a measure has a module of its own: another threshold measures nothing anew.
    """
    rules = [rule for rule in FLAGS.values() if rule.measure is not None]
    code = code_hash(*sorted({rule.measure.__module__ for rule in rules if rule.measure is not None}))
    others = [[rule.code, rule.measured_by() if rule.measured_by is not None else ""] for rule in rules]
    return hashlib.sha256(json.dumps([code, others]).encode()).hexdigest()
