"""A flag for images in which no face is found, where in the reference's there is one."""

from __future__ import annotations

from facegen.grading.faces import SAMPLE, measure_faces, rows_looked_at
from facegen.grading.faces import detector as face_detector
from facegen.grading.flags.rule import EXAMPLES, Finding, FlagRule, SubmittedImages

#: Of images whose own kind the detector does not know, as drawn faces, it tells nothing.
LEAST_OF_REFERENCE = 0.5
#: Part of the reference's share, below which a submission's is unusual.
UNUSUAL = 0.3


def check_faces(submission: SubmittedImages) -> Finding | None:
    """Fewer images with a face than the reference's share lets expect, of those that were looked at."""
    found, reference = submission.measured["no_faces"], submission.collections.face_share
    if not len(found) or reference is None or reference < LEAST_OF_REFERENCE:
        return None
    share = float(found.mean())
    if share >= UNUSUAL * reference:
        return None
    rows = rows_looked_at(len(submission.images))
    without = [submission.names[row] for row in rows[found == 0]]
    return Finding(
        f"In {len(without):,} of {len(found):,} images that were looked at no face is found: one is in {share:.0%} of "
        f"them, and in {reference:.0%} of the reference's. That is for you to look at, and no measure of quality.",
        {
            "share": round(share, 4),
            "reference_share": round(reference, 4),
            "looked_at": len(found),
            "without": without[:EXAMPLES],
        },
    )


def _measured_by() -> str:
    return face_detector() or "none"


NO_FACES = FlagRule(
    code="no_faces",
    meaning="In unusually many images no face is found (looked for with `facegen[faces]` alone).",
    evidence={
        "share": "of the images that were looked at, those in which a face is found, 0 to 1",
        "reference_share": "the same of the reference's",
        "looked_at": f"how many images were looked at, {SAMPLE} at most",
        "without": f"the first {EXAMPLES} in which none is found",
    },
    threshold=(
        f"A share below {UNUSUAL:.0%} of the reference's; where that is below {LEAST_OF_REFERENCE:.0%}, or unknown as "
        "of statistics, never."
    ),
    check=check_faces,
    measure=measure_faces,
    measured_by=_measured_by,
)
