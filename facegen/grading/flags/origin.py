"""Flags for what the images themselves say about their origin (:mod:`facegen.data.origin`)."""

from __future__ import annotations

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages


def check_sampling(submission: SubmittedImages) -> Finding | None:
    """Report images that say that they were not plainly sampled."""
    sampling = submission.score.sampling
    if sampling is None:
        return None
    return Finding(f"The images say that they were not plainly sampled: {sampling}.", {"sampling": sampling})


def check_trained_against(submission: SubmittedImages) -> Finding | None:
    """Report images that say that their generator was trained against a network.

    If this network also measures the images, the message says what follows from that.
    """
    network, flattery = submission.score.trained_against, submission.score.flattery
    if network is None:
        return None
    message = (
        f"The images say that their generator was trained against a network: {network}."
        if flattery is None
        else f"According to the images, {flattery[0].lower()}{flattery[1:].rstrip('.')}."
    )
    return Finding(message, {"trained_against": network})


SAMPLING = FlagRule(
    code="sampling",
    meaning="The images say that they were not plainly sampled, for example with truncation.",
    evidence={"sampling": "how they were sampled, in their words"},
    threshold="One image that says so.",
    check=check_sampling,
)
TRAINED_AGAINST = FlagRule(
    code="trained_against",
    meaning="The images say that their generator was trained against a frozen network.",
    evidence={"trained_against": "the name of the network"},
    threshold="One image that says so.",
    check=check_trained_against,
)
