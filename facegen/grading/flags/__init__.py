"""Flags: what a grader should know about a submission. Flags inform and never reject, and each states its evidence.

A flag consists of a function and a :class:`FlagRule`, an entry of the table :data:`FLAGS`. :func:`register_flag` adds
a flag.
"""

from facegen.grading.flags.rule import EXAMPLES, Collections, Finding, Flag, FlagRule, SharedImages, SubmittedImages
from facegen.grading.flags.table import (
    FLAGS,
    code_of_checks,
    code_of_measures,
    flags_of,
    measured_of,
    register_flag,
    shared_flags_of,
)

__all__ = [
    "EXAMPLES",
    "FLAGS",
    "Collections",
    "Finding",
    "Flag",
    "FlagRule",
    "SharedImages",
    "SubmittedImages",
    "code_of_checks",
    "code_of_measures",
    "flags_of",
    "measured_of",
    "register_flag",
    "shared_flags_of",
]
