"""Flags for what the images themselves say of where they come from (:mod:`facegen.data.origin`)."""

from __future__ import annotations

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages


def check_sampling(submission: SubmittedImages) -> Finding | None:
    """Images that say that they were not plainly sampled."""
    sampling = submission.score.sampling
    if sampling is None:
        return None
    return Finding(f"The images are not plainly sampled, as they say: {sampling}.", {"sampling": sampling})


def check_trained_against(submission: SubmittedImages) -> Finding | None:
    """Images of a generator that was trained against a network; where that one measures, it says what that does."""
    network, flattery = submission.score.trained_against, submission.score.flattery
    if network is None:
        return None
    message = (
        f"The images' generator was trained against a network, as they say: {network}."
        if flattery is None
        else f"As they say, {flattery[0].lower()}{flattery[1:].rstrip('.')}."
    )
    return Finding(message, {"trained_against": network})


SAMPLING = FlagRule(
    code="sampling",
    meaning="The images say that they were not plainly sampled.",
    evidence={"sampling": "how, in their words"},
    threshold="One image that says so.",
    check=check_sampling,
)
TRAINED_AGAINST = FlagRule(
    code="trained_against",
    meaning="The images say that their generator was trained against a frozen network.",
    evidence={"trained_against": "which"},
    threshold="One image that says so.",
    check=check_trained_against,
)
