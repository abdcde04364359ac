"""Flags for images that look the same as others: of the submission, of known collections, of another submission.

The threshold was set on 8,000 faces of CelebA at 64x64: JPEG (quality 50 to 95), blurred and noisy copies lie at most
18 bits of the 256 away, and the nearest two different photographs 46 (the few pairs below that are photographs that
CelebA has twice).
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

#: From this cosine on, weights are taken for the shipped generator's, or for trained on from these.
SAME_WEIGHTS = 0.5
#: Pairs within a submission that count, unless one is exact: poor generators draw one by chance in some of 1,000 sets.
FEWEST_PAIRS = 2

_NEAR = f"One image whose perceptual hash differs by at most {NEAR} of 256 bits, mirrored or not."
_EVIDENCE = {
    "images": "how many",
    "exact": "how many of them pixel for pixel",
    "mirrored": "how many of them mirrored",
    "examples": f"the {EXAMPLES} nearest pairs at most",
}
_KNOWN_EVIDENCE = {
    **{key: what for key, what in _EVIDENCE.items() if key != "examples"},
    "shifted": "how many of them by the correlation, not by their hashes",
    "examples": f"the {EXAMPLES} nearest pairs at most; of those, `shift` in pixels right and down and `correlation`",
}
_KNOWN = (
    f"{_NEAR} Or {FEWEST_SHIFTED} images whose fine detail correlates by {ALIKE:g}, more where strangers are alike, "
    "with as many of those, mirrored or not, shifted by up to 6 pixels of 64 each way."
)


def check_duplicates(submission: SubmittedImages) -> Finding | None:
    """Images that look the same as another of the submission."""
    prints, names, straight = submission.fingerprints, submission.names, submission.distances
    mirror = hamming_distances(prints.hashes, prints.mirrored).astype(np.int64)
    np.fill_diagonal(mirror, 257)  # a symmetric face is its own mirror image
    # Straight counts before mirrored; the matrix of the latter is symmetric but for rounding in the hashes.
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
        f"{_images(involved, names)} the same as another of them"
        f"{_brackets([f'{exact:,} exact repeat' + 's' * (exact != 1)] * bool(exact))}.",
        {"images": involved, "exact": exact, "pairs": len(rows), "examples": examples},
    )


def check_reference(submission: SubmittedImages) -> Finding | None:
    """Copies of the images that submissions are scored against."""
    return _known(submission.in_reference, submission, submission.collections.reference, "one in the reference")


def check_training(submission: SubmittedImages) -> Finding | None:
    """Copies of the images that generators were trained on."""
    return _known(submission.in_training, submission, submission.collections.training, "one in the training set")


def check_pretrained(submission: SubmittedImages) -> Finding | None:
    """The generator that ships with facegen: its images, and its weights where generators are handed in."""
    images, likeness = _pretrained_images(submission), submission.likeness
    if likeness is None or likeness < SAME_WEIGHTS:
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


def _known(copies: Copies | None, submission: SubmittedImages, known: KnownFaces | None, what: str) -> Finding | None:
    if copies is None or known is None:
        return None
    finding = _copies(copies.matches, submission.names, known.names, what)
    if finding is None:
        return None
    shifted, rows = int(copies.shifted.sum()), {name: row for row, name in enumerate(submission.names)}
    examples = [{**example, **_how(copies, rows[example["image"]])} for example in finding.details["examples"]]
    details = {key: finding.details[key] for key in ("images", "exact", "mirrored")}
    told = f" Of these {shifted:,} differ from it by a shift of some pixels, in brightness or in framing."
    return Finding(finding.message + told * bool(shifted), {**details, "shifted": shifted, "examples": examples})


def _how(copies: Copies, image: int) -> dict[str, Any]:
    """What an example says of a copy that no hash tells."""
    if not copies.shifted[image]:
        return {}
    return {"shift": copies.shift[image].tolist(), "correlation": round(float(copies.correlation[image]), 3)}


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
    threshold=(
        f"An exact repeat, or {FEWEST_PAIRS} pairs whose perceptual hashes differ by at most {NEAR} of 256 bits, "
        "mirrored or not."
    ),
    check=check_duplicates,
)
COPIED_FROM_REFERENCE = FlagRule(
    code="copied_from_reference",
    meaning="Images look the same as ones of the reference.",
    evidence=_KNOWN_EVIDENCE,
    threshold=_KNOWN,
    check=check_reference,
)
COPIED_FROM_TRAINING = FlagRule(
    code="copied_from_training",
    meaning="Images look the same as ones of the training set.",
    evidence=_KNOWN_EVIDENCE,
    threshold=_KNOWN,
    check=check_training,
)
PRETRAINED_GENERATOR = FlagRule(
    code="pretrained_generator",
    meaning=(
        f"Images look the same as ones that `facegen sample --pretrained` draws with seeds 0 to {SEEDS - 1}, or a "
        "generator that was handed in has its weights."
    ),
    evidence={**_EVIDENCE, "weights": "their cosine with its weights, −1 to 1; null of images, and of another network"},
    threshold=f"{_NEAR} A cosine of {SAME_WEIGHTS}.",
    check=check_pretrained,
)
SHARED_WITH = FlagRule(
    code="shared_with",
    meaning="Images look the same as ones of the submission of the student whose number follows.",
    evidence=_EVIDENCE,
    threshold=_NEAR,
    compare=compare_submissions,
)
