"""A flag for colours that were probably saved in the wrong way, judged by the colours of the reference."""

from __future__ import annotations

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages
from facegen.metrics.colours import DIFFERENT, FAULTS, LEAVES, ColourCounts
from facegen.metrics.denormalisation import PixelValues
from facegen.scoring.image_checks import colour_fault


def check_colours(submission: SubmittedImages) -> Finding | None:
    """Check whether the colours differ from the reference's in the way that a known mistake in saving causes."""
    reference = submission.collections.properties
    if reference is None or reference.colours is None:
        return None
    values, counts = PixelValues(), ColourCounts()
    values.update(submission.images)
    for image in submission.images:
        counts.update(image)
    colours = counts.colours()
    found = None if values.sign() is not None else colour_fault(colours, reference)
    if found is None or found.of_reference:
        return None
    return Finding(
        found.message,
        {
            "fault": found.fault,
            "distance": round(found.distance, 2),
            "explained": None if found.explained is None else round(found.explained, 3),
            "means": list(colours.means),
            "reference_means": list(reference.colours.means),
        },
    )


WRONG_COLOURS = FlagRule(
    code="wrong_colours",
    meaning="The colours differ from the reference's as after a known mistake in saving.",
    evidence={
        "fault": f"the mistake, one of {', '.join(f'`{code}`' for code in FAULTS)}",
        "distance": "how far the values have to move, 0 to 255, to have the reference's colours",
        "explained": "the fraction of this distance that the mistake explains, 0 to 1",
        "means": "the mean red, green and blue, 0 to 255",
        "reference_means": "the same means of the reference",
    },
    threshold=(
        f"A distance above {DIFFERENT:g} (more if there are few images) of which a mistake explains {1 - LEAVES:.0%} "
        "(40% to 75% for some mistakes). Or nearly every image, but not the reference's, reaches from 0 to 255."
    ),
    check=check_colours,
)
