"""What a grader should know of a submission: flags inform and never reject, and each says what it saw.

A flag is one function and one :class:`FlagRule`, an entry of the table :data:`FLAGS`; :func:`register_flag` adds one.
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
