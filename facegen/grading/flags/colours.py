"""A flag for colours that were saved wrong, as those of the reference tell."""

from __future__ import annotations

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages
from facegen.metrics.colours import DIFFERENT, FAULTS, LEAVES, ColourCounts
from facegen.metrics.denormalisation import PixelValues
from facegen.scoring.image_checks import colour_fault


def check_colours(submission: SubmittedImages) -> Finding | None:
    """Colours that differ from the reference's as a known fault of saving makes them differ."""
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
    meaning="Colours differ from the reference's as when they were saved wrong.",
    evidence={
        "fault": f"how, one of {', '.join(f'`{code}`' for code in FAULTS)}",
        "distance": "how far values have to move, 0 to 255, to have the reference's colours",
        "explained": "the part of that which the fault explains, 0 to 1",
        "means": "the mean red, green and blue, 0 to 255",
        "reference_means": "those of the reference",
    },
    threshold=(
        f"A distance above {DIFFERENT:g} (more of few images) of which a fault explains {1 - LEAVES:.0%} (40% to 75% "
        "of some faults); or nearly each image, and not the reference's, reaching from 0 to 255."
    ),
    check=check_colours,
)
