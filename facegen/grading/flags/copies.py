"""Flags for images that look the same as others: in the submission, in known collections, or in another submission.

The threshold was set on 8,000 faces of CelebA at 64x64. JPEG copies (quality 50 to 95), blurred copies and noisy copies
differ by at most 18 of the 256 bits. The nearest two different photographs differ by 46 bits. The few pairs below that
are photographs that CelebA has twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facegen.grading.fingerprints import FEWEST_SHIFTED, Copies, KnownFaces, Matches, find_near_duplicates
from facegen.grading.flags.rule import EXAMPLES, Finding, FlagRule, SharedImages, SubmittedImages
from facegen.metrics.phash import NEAR, hamming_distances
from facegen.metrics.shifted import ALIKE
from facegen.pretrained import IMAGES_PER_SEED, SEEDS

#: Minimum cosine at which weights are reported as those of the shipped generator, or as trained from them.
SAME_WEIGHTS = 0.5
#: Minimum number of pairs within a submission, unless one is exact. Poor generators draw one pair by chance in some of
#: 1,000 sets.
FEWEST_PAIRS = 2

_NEAR = f"One image whose perceptual hash differs by at most {NEAR} of 256 bits, mirrored or not."
_EVIDENCE = {
    "images": "number of such images",
    "exact": "how many of them are the same pixel for pixel",
    "mirrored": "how many of them are mirrored",
    "examples": f"the nearest pairs, at most {EXAMPLES}",
}
_KNOWN_EVIDENCE = {
    **{key: what for key, what in _EVIDENCE.items() if key != "examples"},
    "shifted": "how many of them are found by the correlation and not by their hashes",
    "examples": (
        f"the nearest pairs, at most {EXAMPLES}; shifted ones have `shift` (pixels to the right and down) and "
        "`correlation`"
    ),
}
_KNOWN = (
    f"{_NEAR} Or {FEWEST_SHIFTED} images whose fine detail correlates by at least {ALIKE:g} with as many known images, "
    "mirrored or not and shifted by up to 6 pixels of 64 each way. The limit is higher if unrelated images are alike."
)


def check_duplicates(submission: SubmittedImages) -> Finding | None:
    """Look for images that look the same as another image of the submission."""
    prints, names, straight = submission.fingerprints, submission.names, submission.distances
    mirror = hamming_distances(prints.hashes, prints.mirrored).astype(np.int64)
    np.fill_diagonal(mirror, 257)  # ignore the image itself: a symmetric face is its own mirror image
    # An unmirrored match has priority. The matrix of mirrored matches is symmetric except for rounding in the hashes.
    nearest = np.minimum(straight, np.minimum(mirror, mirror.T))
    rows, columns = np.nonzero(np.triu(nearest <= NEAR, k=1))
    exact = len(prints) - len(np.unique(prints.pixels))
    if len(rows) < FEWEST_PAIRS and not exact:
        return None
    distance = nearest[rows, columns]
    involved = len(np.union1d(rows, columns))
    order = np.argsort(distance, kind="stable")[:EXAMPLES]
    examples = [
        {
            "image": names[rows[i]],
            "match": names[columns[i]],
            "distance": int(distance[i]),
            "mirrored": bool(straight[rows[i], columns[i]] > NEAR),
        }
        for i in order
    ]
    return Finding(
        f"{_images(involved, names)} the same as another image of the submission"
        f"{_brackets([f'{exact:,} exact repeat' + 's' * (exact != 1)] * bool(exact))}.",
        {"images": involved, "exact": exact, "pairs": len(rows), "examples": examples},
    )


def check_reference(submission: SubmittedImages) -> Finding | None:
    """Look for copies of the images of the reference."""
    return _known(submission.in_reference, submission, submission.collections.reference, "an image of the reference")


def check_training(submission: SubmittedImages) -> Finding | None:
    """Look for copies of the images on which generators were trained."""
    return _known(submission.in_training, submission, submission.collections.training, "an image of the training set")


def check_pretrained(submission: SubmittedImages) -> Finding | None:
    """Look for images of the generator that ships with facegen, and for its weights if generators are handed in."""
    images, likeness = _pretrained_images(submission), submission.likeness
    if likeness is None or likeness < SAME_WEIGHTS:
        return images and Finding(images.message, {**images.details, "weights": likeness})
    message = "The weights resemble those of the generator that ships with facegen, as if copied or trained from them"
    sentences = [f"{message} (cosine {likeness:.2f}).", *([images.message] if images else [])]
    found = images.details if images else {"images": 0, "exact": 0, "mirrored": 0, "examples": []}
    return Finding(" ".join(sentences), {**found, "weights": likeness})


def _pretrained_images(submission: SubmittedImages) -> Finding | None:
    """Look for images that the shipped generator draws (:func:`facegen.pretrained.fingerprints`).

    Near-duplicates count, as in every search for copies: images saved as JPEG, mirrored, or drawn on another machine.
    """
    shipped = submission.collections.shipped
    if shipped is None:
        return None
    others = [f"seed {row // IMAGES_PER_SEED}, image {row % IMAGES_PER_SEED + 1}" for row in range(len(shipped))]
    matches = find_near_duplicates(submission.fingerprints, shipped)
    finding = _copies(matches, submission.names, others, "an image that facegen's own generator draws")
    if finding is None:
        return None
    meaning = "'facegen sample --pretrained' draws such images without any training."
    return Finding(f"{finding.message} {meaning}", finding.details)


def compare_submissions(shared: SharedImages) -> Finding | None:
    """Look for images that another submission has too."""
    whose = f"an image of {shared.student_number}"
    return _copies(shared.matches, shared.names, shared.others, whose, shared.examples)


def _known(copies: Copies | None, submission: SubmittedImages, known: KnownFaces | None, what: str) -> Finding | None:
    if copies is None or known is None:
        return None
    finding = _copies(copies.matches, submission.names, known.names, what)
    if finding is None:
        return None
    shifted, rows = int(copies.shifted.sum()), {name: row for row, name in enumerate(submission.names)}
    examples = [{**example, **_how(copies, rows[example["image"]])} for example in finding.details["examples"]]
    details = {key: finding.details[key] for key in ("images", "exact", "mirrored")}
    told = f" {shifted:,} of them differ from the known image by a shift of a few pixels, in brightness or in framing."
    return Finding(finding.message + told * bool(shifted), {**details, "shifted": shifted, "examples": examples})


def _how(copies: Copies, image: int) -> dict[str, Any]:
    """Return the evidence for a copy that no hash tells."""
    if not copies.shifted[image]:
        return {}
    return {"shift": copies.shift[image].tolist(), "correlation": round(float(copies.correlation[image]), 3)}


def _copies(
    matches: Matches, names: Sequence[str], others: Sequence[str], what: str, most: int = EXAMPLES
) -> Finding | None:
    """Return the matches among images called ``others``. In the message, each of them is ``what``."""
    found = matches.found
    if not len(found):
        return None
    exact, mirrored = int(matches.exact.sum()), int(matches.mirrored[found].sum())
    ways = [f"{exact:,} pixel for pixel"] * bool(exact) + [f"{mirrored:,} mirrored"] * bool(mirrored)
    examples = [
        {
            "image": names[i],
            "match": others[matches.row[i]],
            "distance": int(matches.distance[i]),
            "mirrored": bool(matches.mirrored[i]),
        }
        for i in found[np.argsort(matches.distance[found], kind="stable")][:most]
    ]
    return Finding(
        f"{_images(len(found), names)} the same as {what}{_brackets(ways)}.",
        {"images": len(found), "exact": exact, "mirrored": mirrored, "examples": examples},
    )


def _images(count: int, names: Sequence[str]) -> str:
    return f"{count:,} of {len(names):,} images look{'s' * (count == 1)}"


def _brackets(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


DUPLICATE_IMAGES = FlagRule(
    code="duplicate_images",
    meaning="Images look the same as other images of the submission.",
    evidence={
        "images": "number of such images",
        "exact": "how many repeat an earlier image pixel for pixel",
        "pairs": "number of pairs",
        "examples": f"the nearest pairs, at most {EXAMPLES}",
    },
    threshold=(
        f"An exact repeat, or {FEWEST_PAIRS} pairs whose perceptual hashes differ by at most {NEAR} of 256 bits, "
        "mirrored or not."
    ),
    check=check_duplicates,
)
COPIED_FROM_REFERENCE = FlagRule(
    code="copied_from_reference",
    meaning="Images look the same as images of the reference.",
    evidence=_KNOWN_EVIDENCE,
    threshold=_KNOWN,
    check=check_reference,
)
COPIED_FROM_TRAINING = FlagRule(
    code="copied_from_training",
    meaning="Images look the same as images of the training set.",
    evidence=_KNOWN_EVIDENCE,
    threshold=_KNOWN,
    check=check_training,
)
PRETRAINED_GENERATOR = FlagRule(
    code="pretrained_generator",
    meaning=(
        f"Images look the same as images that `facegen sample --pretrained` draws with seeds 0 to {SEEDS - 1}, or a "
        "generator that was handed in has similar weights."
    ),
    evidence={
        **_EVIDENCE,
        "weights": "cosine between the weights, −1 to 1; null for images and for a network of another shape",
    },
    threshold=f"{_NEAR} Or a cosine of at least {SAME_WEIGHTS}.",
    check=check_pretrained,
)
SHARED_WITH = FlagRule(
    code="shared_with",
    meaning="Images look the same as images in the submission of the student whose number follows.",
    evidence=_EVIDENCE,
    threshold=_NEAR,
    compare=compare_submissions,
)
