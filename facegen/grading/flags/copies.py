"""Flags for images that look the same as others: of the submission, of known collections, of another submission.

The threshold was set on 8,000 faces of CelebA at 64x64: JPEG (quality 50 to 95), blurred and noisy copies lie at most
18 bits of the 256 away, and the nearest two different photographs 46 (the few pairs below that are photographs that
CelebA has twice).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facegen.grading.fingerprints import KnownFaces, Matches, find_matches, find_near_duplicates
from facegen.grading.flags.rule import EXAMPLES, Finding, FlagRule, SharedImages, SubmittedImages
from facegen.metrics.phash import NEAR, hamming_distances
from facegen.pretrained import IMAGES_PER_SEED, SEEDS

#: From this cosine on, weights are taken for the shipped generator's, or for trained on from these.
ALIKE = 0.5
_NEAR = f"One image whose perceptual hash differs by at most {NEAR} of 256 bits, mirrored or not."
_EVIDENCE = {
    "images": "how many",
    "exact": "how many of them pixel for pixel",
    "mirrored": "how many of them mirrored",
    "examples": f"the {EXAMPLES} nearest pairs at most",
}


def check_duplicates(submission: SubmittedImages) -> Finding | None:
    """Images that look the same as another of the submission."""
    prints, names, straight = submission.fingerprints, submission.names, submission.distances
    mirror = hamming_distances(prints.hashes, prints.mirrored).astype(np.int64)
    np.fill_diagonal(mirror, 257)  # a symmetric face is its own mirror image
    # Straight counts before mirrored; the matrix of the latter is symmetric but for rounding in the hashes.
    nearest = np.minimum(straight, np.minimum(mirror, mirror.T))
    near = np.triu(nearest <= NEAR, k=1)
    if not near.any():
        return None
    rows, columns = np.nonzero(near)
    distance = nearest[rows, columns]
    involved = len(np.union1d(rows, columns))
    exact = len(prints) - len(np.unique(prints.pixels))
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
        f"{_images(involved, names)} the same as another of them"
        f"{_brackets([f'{exact:,} exact repeat' + 's' * (exact != 1)] * bool(exact))}.",
        {"images": involved, "exact": exact, "pairs": len(rows), "examples": examples},
    )


def check_reference(submission: SubmittedImages) -> Finding | None:
    """Copies of the images that submissions are scored against."""
    return _known(submission, submission.collections.reference, "one in the reference")


def check_training(submission: SubmittedImages) -> Finding | None:
    """Copies of the images that generators were trained on."""
    return _known(submission, submission.collections.training, "one in the training set")


def check_pretrained(submission: SubmittedImages) -> Finding | None:
    """The generator that ships with facegen: its images, and its weights where generators are handed in."""
    images, likeness = _pretrained_images(submission), submission.likeness
    if likeness is None or likeness < ALIKE:
        return images and Finding(images.message, {**images.details, "weights": likeness})
    message = "The weights are those of the generator which ships with facegen, or were trained on from these"
    sentences = [f"{message} (cosine {likeness:.2f}).", *([images.message] if images else [])]
    found = images.details if images else {"images": 0, "exact": 0, "mirrored": 0, "examples": []}
    return Finding(" ".join(sentences), {**found, "weights": likeness})


def _pretrained_images(submission: SubmittedImages) -> Finding | None:
    """Images that the generator that ships with facegen draws (:func:`facegen.pretrained.fingerprints`).

    Near ones count, as in every search for copies: saved as JPEG, mirrored, or drawn on another machine.
    """
    shipped = submission.collections.shipped
    if shipped is None:
        return None
    others = [f"seed {row // IMAGES_PER_SEED}, image {row % IMAGES_PER_SEED + 1}" for row in range(len(shipped))]
    matches = find_near_duplicates(submission.fingerprints, shipped)
    finding = _copies(matches, submission.names, others, "one that the generator which ships with facegen draws")
    if finding is None:
        return None
    meaning = "No training was needed for them: 'facegen sample --pretrained' draws them."
    return Finding(f"{finding.message} {meaning}", finding.details)


def compare_submissions(shared: SharedImages) -> Finding | None:
    """Images that another submission has too."""
    whose = f"one of {shared.student_number}'s"
    return _copies(shared.matches, shared.names, shared.others, whose, shared.examples)


def _known(submission: SubmittedImages, known: KnownFaces | None, what: str) -> Finding | None:
    if known is None:
        return None
    return _copies(find_matches(submission.fingerprints, known.fingerprints), submission.names, known.names, what)


def _copies(
    matches: Matches, names: Sequence[str], others: Sequence[str], what: str, most: int = EXAMPLES
) -> Finding | None:
    """The matches among images called ``others``, each of which is ``what`` in the message."""
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
    meaning="Images look the same as others of the submission.",
    evidence={
        "images": "how many",
        "exact": "how many repeat an earlier one pixel for pixel",
        "pairs": "how many pairs",
        "examples": f"the {EXAMPLES} nearest pairs at most",
    },
    threshold=_NEAR,
    check=check_duplicates,
)
COPIED_FROM_REFERENCE = FlagRule(
    code="copied_from_reference",
    meaning="Images look the same as ones of the reference.",
    evidence=_EVIDENCE,
    threshold=_NEAR,
    check=check_reference,
)
COPIED_FROM_TRAINING = FlagRule(
    code="copied_from_training",
    meaning="Images look the same as ones of the training set.",
    evidence=_EVIDENCE,
    threshold=_NEAR,
    check=check_training,
)
PRETRAINED_GENERATOR = FlagRule(
    code="pretrained_generator",
    meaning=(
        f"Images look the same as ones that `facegen sample --pretrained` draws with seeds 0 to {SEEDS - 1}, or a "
        "generator that was handed in has its weights."
    ),
    evidence={**_EVIDENCE, "weights": "their cosine with its weights, −1 to 1; null of images, and of another network"},
    threshold=f"{_NEAR} A cosine of {ALIKE}.",
    check=check_pretrained,
)
SHARED_WITH = FlagRule(
    code="shared_with",
    meaning="Images look the same as ones of the submission of the student whose number follows.",
    evidence=_EVIDENCE,
    threshold=_NEAR,
    compare=compare_submissions,
)
