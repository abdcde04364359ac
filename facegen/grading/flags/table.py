"""The table of flags. The leaderboard shows a submission's flags in its order."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence

from facegen.code_hash import code_hash
from facegen.grading.flags import copies, origin, pixel_values
from facegen.grading.flags.rule import Flag, FlagRule, SharedImages, SubmittedImages

#: Every flag by its code.
FLAGS: dict[str, FlagRule] = {
    rule.code: rule
    for rule in (
        copies.DUPLICATE_IMAGES,
        pixel_values.NOT_DENORMALISED,
        pixel_values.LOW_DIVERSITY,
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

    Raises:
        ValueError: there is a flag of that code.
    """
    if rule.code in FLAGS:
        raise ValueError(f"there is a flag {rule.code} already")
    FLAGS[rule.code] = rule
    return rule


def flags_of(submission: SubmittedImages) -> list[Flag]:
    """The flags that a submission earns by itself, in the table's order."""
    flags = []
    for rule in FLAGS.values():
        finding = None if rule.check is None else rule.check(submission)
        if finding is not None:
            flags.append(Flag(rule.code, finding.message, finding.details))
    return flags


def shared_flags_of(shared: Sequence[SharedImages]) -> list[Flag]:
    """The flags that a submission earns beside each other one that has some of its images."""
    flags = []
    for rule in FLAGS.values():
        for other in shared:
            finding = None if rule.compare is None else rule.compare(other)
            if finding is not None:
                flags.append(Flag(f"{rule.code}:{other.student_number}", finding.message, finding.details))
    return flags


def code_of_checks(module: str) -> str:
    """A hash that changes whenever the flags of the same submission could: of a module's code and of all checks'.

    Of a registered flag that is the code of its check's module, and of what that imports of facegen: not of other
    packages. Where there is no file of code, as in a notebook, no two calls give the same.
    """
    modules = sorted({module, *(rule.check.__module__ for rule in FLAGS.values() if rule.check is not None)})
    try:
        code = code_hash(*modules)
    except (ImportError, ValueError, AttributeError):  # __main__, a notebook, a module made in memory
        code = uuid.uuid4().hex
    rules = [[rule.code, rule.threshold] for rule in FLAGS.values() if rule.check is not None]
    return hashlib.sha256(json.dumps([code, rules]).encode()).hexdigest()
