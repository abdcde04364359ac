"""Flags for what the pixel values of all images tell together."""

from __future__ import annotations

import numpy as np

from facegen.grading.flags.rule import Finding, FlagRule, SubmittedImages
from facegen.metrics.denormalisation import DARKEST, JUMPS, SPAN, ZEROS, PixelValues
from facegen.metrics.modes import nearest_in_main_directions

#: Bits to the nearest neighbour, in the median: 86 among 1,000 faces of CelebA at 64x64, and 46 among very smooth ones
#: (20 principal components).
NEIGHBOUR = 32
#: Mean standard deviation of a pixel over the images, in 0 to 255: 68 of the same faces, and 55 of the smooth ones.
SPREAD = 25.0
#: Of :func:`~facegen.metrics.modes.nearest_in_main_directions`: docs/grading.md has what generators reach.
CLUMPED = 0.16


def check_denormalised(submission: SubmittedImages) -> Finding | None:
    """Values of a generator's outputs saved without undoing their normalisation to −1 to 1."""
    values = PixelValues()
    values.update(submission.images)
    sign = values.sign()
    if sign is None:
        return None
    return Finding(
        f"The generator's outputs seem to be saved without undoing their normalisation: {sign}.",
        {
            "zeros": round(values.zeros, 4),
            "jumps": round(values.jumps, 4),
            "percentile_0.5": values.percentile(0.5),
            "percentile_99.5": values.percentile(99.5),
        },
    )


def check_diversity(submission: SubmittedImages) -> Finding | None:
    """Images that are much alike, by their hashes or by the spread of their pixels; or that lie in clumps."""
    images = submission.images
    neighbour = float(np.median(submission.distances.min(axis=1)))
    spread = float(np.mean([images[:, row].std(axis=0) for row in range(images.shape[1])]))
    nearest = nearest_in_main_directions(images)
    if neighbour >= NEIGHBOUR and spread >= SPREAD and nearest >= CLUMPED:
        return None
    what = "much alike" if neighbour < NEIGHBOUR or spread < SPREAD else "variations of a few"
    return Finding(
        f"The images are {what}, as when a generator has collapsed: the median nearest neighbour is "
        f"{neighbour:.0f} of 256 bits away (real faces: 86) and at {nearest:.2f} of the mean distance in their main "
        f"directions (real faces: 0.26), a pixel varies by {spread:.0f} of 255 (real faces: 68).",
        {"median_neighbour_bits": neighbour, "pixel_std": round(spread, 2), "nearest": round(nearest, 4)},
    )


NOT_DENORMALISED = FlagRule(
    code="not_denormalised",
    meaning="Pixel values look like a generator's outputs saved without undoing their normalisation.",
    evidence={
        "zeros": "share of values that are exactly 0",
        "jumps": "share of horizontal neighbours that differ by over half the range",
        "percentile_0.5": "the value, 0 to 255, that 0.5% of all do not exceed",
        "percentile_99.5": "the value that 99.5% do not exceed",
    },
    threshold=(
        f"Zeros above {ZEROS:.0%}, jumps between {JUMPS[0]:.0%} and {JUMPS[1]:.0%}, the 0.5th percentile at "
        f"{DARKEST:g} or above, or less than {SPAN:g} from it to the 99.5th."
    ),
    check=check_denormalised,
)
LOW_DIVERSITY = FlagRule(
    code="low_diversity",
    meaning="The images are much alike, or variations of a few, as when a generator has collapsed.",
    evidence={
        "median_neighbour_bits": "bits by which the hashes of an image and its nearest neighbour differ, the median",
        "pixel_std": "standard deviation of a pixel over the images, 0 to 255, the mean",
        "nearest": "squared distance to the nearest neighbour, the median, as part of the mean one in 20 directions",
    },
    threshold=(
        f"A median neighbour nearer than {NEIGHBOUR} of 256 bits, a standard deviation below {SPREAD:g}, or `nearest` "
        f"below {CLUMPED:g}."
    ),
    check=check_diversity,
)
