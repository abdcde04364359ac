"""A flag for images in which no face is found, although one is found in the reference's images."""

from __future__ import annotations

from facegen.grading.faces import SAMPLE, measure_faces, rows_looked_at
from facegen.grading.faces import detector as face_detector
from facegen.grading.flags.rule import EXAMPLES, Finding, FlagRule, SubmittedImages

#: Minimum share of the reference. The detector tells nothing about images of a kind unknown to it, such as drawn faces.
LEAST_OF_REFERENCE = 0.5
#: Fraction of the reference's share below which a submission's share is unusual.
UNUSUAL = 0.3


def check_faces(submission: SubmittedImages) -> Finding | None:
    """Check whether fewer of the searched images have a face than the reference's share lets expect."""
    found, reference = submission.measured["no_faces"], submission.collections.face_share
    if not len(found) or reference is None or reference < LEAST_OF_REFERENCE:
        return None
    share = float(found.mean())
    if share >= UNUSUAL * reference:
        return None
    rows = rows_looked_at(len(submission.images))
    without = [submission.names[row] for row in rows[found == 0]]
    return Finding(
        f"No face is found in {len(without):,} of the {len(found):,} images that were searched. One is found in "
        f"{share:.0%} of them, and in {reference:.0%} of the reference's images. Look at the images: this is not a "
        "measure of quality.",
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
    meaning="No face is found in an unusual number of images (checked only with `facegen[faces]`).",
    evidence={
        "share": "fraction of the searched images in which a face is found, 0 to 1",
        "reference_share": "the same fraction of the reference's images",
        "looked_at": f"number of images that were searched, at most {SAMPLE}",
        "without": f"the first {EXAMPLES} images in which none is found",
    },
    threshold=(
        f"A share below {UNUSUAL:.0%} of the reference's. Never if the reference's share is below "
        f"{LEAST_OF_REFERENCE:.0%}, or unknown because the reference holds only statistics."
    ),
    check=check_faces,
    measure=measure_faces,
    measured_by=_measured_by,
)
