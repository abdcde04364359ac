"""Flags for what the pixel values of all images tell together."""

from __future__ import annotations

import numpy as np

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages
from facegen.metrics.denormalisation import DARKEST, JUMPS, SPAN, ZEROS, PixelValues
from facegen.metrics.modes import nearest_in_main_directions

#: Minimum median distance to the nearest neighbour, in bits. It is 86 for 1,000 faces of CelebA at 64x64, and 46 for
#: very smooth faces (20 principal components).
NEIGHBOUR = 32
#: Minimum mean standard deviation of a pixel over the images, in 0 to 255. It is 68 for the same faces, and 55 for the
#: smooth ones.
SPREAD = 25.0
#: Minimum of :func:`~facegen.metrics.modes.nearest_in_main_directions`. docs/grading.md lists what generators reach.
CLUMPED = 0.16


def check_denormalised(submission: SubmittedImages) -> Finding | None:
    """Look for values of a generator's outputs that were saved without undoing their normalisation to −1 to 1."""
    values = PixelValues()
    values.update(submission.images)
    sign = values.sign()
    if sign is None:
        return None
    return Finding(
        f"The images look like generator outputs that were saved without undoing their normalisation: {sign}.",
        {
            "zeros": round(values.zeros, 4),
            "jumps": round(values.jumps, 4),
            "percentile_0.5": values.percentile(0.5),
            "percentile_99.5": values.percentile(99.5),
        },
    )


def check_diversity(submission: SubmittedImages) -> Finding | None:
    """Check whether images are very similar, by their hashes or by the spread of their pixels, or lie in clumps."""
    images = submission.images
    neighbour = float(np.median(submission.distances.min(axis=1)))
    spread = float(np.mean([images[:, row].std(axis=0) for row in range(images.shape[1])]))
    nearest = nearest_in_main_directions(images)
    if neighbour >= NEIGHBOUR and spread >= SPREAD and nearest >= CLUMPED:
        return None
    what = "very similar to one another" if neighbour < NEIGHBOUR or spread < SPREAD else "variations of a few"
    return Finding(
        f"The images are {what}, as after the collapse of a generator. In the median, an image's nearest neighbour "
        f"differs by {neighbour:.0f} of 256 bits (real faces: 86), and its squared distance in the main directions is "
        f"{nearest:.2f} of the mean (real faces: 0.26). A pixel varies by {spread:.0f} of 255 (real faces: 68).",
        {"median_neighbour_bits": neighbour, "pixel_std": round(spread, 2), "nearest": round(nearest, 4)},
    )


NOT_DENORMALISED = FlagRule(
    code="not_denormalised",
    meaning="The pixel values look like generator outputs that were saved without undoing their normalisation.",
    evidence={
        "zeros": "fraction of values that are exactly 0",
        "jumps": "fraction of horizontal neighbours that differ by more than half the range",
        "percentile_0.5": "the value, 0 to 255, that 0.5% of all values do not exceed",
        "percentile_99.5": "the value that 99.5% of all values do not exceed",
    },
    threshold=(
        f"Zeros above {ZEROS:.0%}, jumps between {JUMPS[0]:.0%} and {JUMPS[1]:.0%}, a 0.5th percentile of "
        f"{DARKEST:g} or more, or less than {SPAN:g} between the 0.5th and the 99.5th percentile."
    ),
    check=check_denormalised,
)
LOW_DIVERSITY = FlagRule(
    code="low_diversity",
    meaning="The images are very similar, or variations of a few, as after the collapse of a generator.",
    evidence={
        "median_neighbour_bits": "bits by which the hashes of an image and its nearest neighbour differ, median",
        "pixel_std": "standard deviation of a pixel over the images, 0 to 255, mean",
        "nearest": "squared distance to the nearest neighbour in 20 directions, median, as a fraction of the mean one",
    },
    threshold=(
        f"A median neighbour nearer than {NEIGHBOUR} of 256 bits, a standard deviation below {SPREAD:g}, or `nearest` "
        f"below {CLUMPED:g}."
    ),
    check=check_diversity,
)
