"""Flags: what a grader should know of a submission. They inform and never reject, and each says what it saw.

The thresholds were set on CelebA at 64x64. 8,000 faces: JPEG (quality 50 to 95), blurred and noisy copies lie at
most 18 bits of the 256 away, and the nearest two different photographs 46 (the few pairs below that are photographs
that CelebA has twice). 1,000 faces: the median nearest neighbour is 86 bits away, and a pixel's standard deviation is
68 on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.grading.fingerprints import Fingerprints, KnownFaces, Matches, find_look_alikes, find_matches
from facegen.metrics.denormalisation import PixelValues
from facegen.metrics.phash import NEAR, Hashes, hamming_distances
from facegen.pretrained import IMAGES_PER_SEED
from facegen.scoring.score import Score

#: Most examples that a flag lists.
_EXAMPLES = 20

#: Bits to the nearest neighbour, in the median: very smooth faces (20 principal components) still have 46.
NEIGHBOUR = 32
#: Mean standard deviation of a pixel over the images, in 0 to 255: the same smooth faces have 55.
SPREAD = 25.0


@dataclass(frozen=True)
class Flag:
    """``name`` as in the leaderboard, ``message`` for people, and ``details``: counts, examples and distances."""

    name: str
    message: str
    details: dict[str, Any]


def own_flags(images: npt.NDArray[np.uint8], prints: Fingerprints, names: Sequence[str], score: Score) -> list[Flag]:
    """The flags that a submission earns by itself.

    From uint8 [N, 64, 64, 3] images, their fingerprints and names, and their score, which has what they say of where
    they come from.
    """
    straight = hamming_distances(prints.hashes, prints.hashes).astype(np.int64)
    np.fill_diagonal(straight, 257)
    flags = (
        _duplicate_images(straight, prints, names),
        _not_denormalised(images),
        _low_diversity(images, straight),
        _sampling(score.sampling),
        _trained_against(score),
    )
    return [flag for flag in flags if flag is not None]


def copied_from(name: str, what: str, known: KnownFaces, prints: Fingerprints, names: Sequence[str]) -> Flag | None:
    """Images that are, exactly or nearly, among the ``known`` ones: ``what`` calls those in the message."""
    return _copies(name, f"one in {what}", find_matches(prints, known.fingerprints), names, known.names)


def pretrained_generator(shipped: Hashes, prints: Fingerprints, names: Sequence[str]) -> Flag | None:
    """Images that the generator that ships with facegen draws, by their hashes :func:`facegen.pretrained.fingerprints`.

    Near ones count, as in every search for copies: saved as JPEG, mirrored, or drawn on another machine.
    """
    others = [f"seed {row // IMAGES_PER_SEED}, image {row % IMAGES_PER_SEED + 1}" for row in range(len(shipped))]
    where = "one that the generator which ships with facegen draws"
    flag = _copies("pretrained_generator", where, find_look_alikes(prints, shipped), names, others)
    meaning = "No training was needed for them: 'facegen sample --pretrained' draws them."
    return None if flag is None else replace(flag, message=f"{flag.message} {meaning}")


def shared_with(student: str, matches: Matches, names: Sequence[str], others: Sequence[str]) -> Flag | None:
    """Images that another submission has too."""
    return _copies(f"shared_with:{student}", f"one of {student}'s", matches, names, others)


def _copies(name: str, where: str, matches: Matches, names: Sequence[str], others: Sequence[str]) -> Flag | None:
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
        for i in found[np.argsort(matches.distance[found], kind="stable")][:_EXAMPLES]
    ]
    message = f"{_images(len(found), names)} the same as {where}{_brackets(ways)}."
    return Flag(name, message, {"images": len(found), "exact": exact, "mirrored": mirrored, "examples": examples})


def _duplicate_images(straight: npt.NDArray[np.int64], prints: Fingerprints, names: Sequence[str]) -> Flag | None:
    mirror = hamming_distances(prints.hashes, prints.mirrored).astype(np.int64)
    np.fill_diagonal(mirror, 257)  # a symmetric face is its own mirror image
    # Straight counts before mirrored; the matrix of the latter is symmetric but for rounding in the hashes.
    near = np.triu(np.minimum(straight, np.minimum(mirror, mirror.T)) <= NEAR, k=1)
    if not near.any():
        return None
    rows, columns = np.nonzero(near)
    distance = np.minimum(straight, np.minimum(mirror, mirror.T))[rows, columns]
    involved = len(np.union1d(rows, columns))
    exact = len(prints) - len(np.unique(prints.pixels))
    order = np.argsort(distance, kind="stable")[:_EXAMPLES]
    examples = [
        {
            "image": names[rows[i]],
            "match": names[columns[i]],
            "distance": int(distance[i]),
            "mirrored": bool(straight[rows[i], columns[i]] > NEAR),
        }
        for i in order
    ]
    message = (
        f"{_images(involved, names)} the same as another of them"
        f"{_brackets([f'{exact:,} exact repeats'] * bool(exact))}."
    )
    return Flag(
        "duplicate_images",
        message,
        {"images": involved, "exact": exact, "pairs": len(rows), "examples": examples},
    )


def _not_denormalised(images: npt.NDArray[np.uint8]) -> Flag | None:
    values = PixelValues()
    values.update(images)
    sign = values.sign()
    if sign is None:
        return None
    return Flag(
        "not_denormalised",
        f"The generator's outputs seem to be saved without undoing their normalisation: {sign}.",
        {
            "zeros": round(values.zeros, 4),
            "jumps": round(values.jumps, 4),
            "percentile_0.5": values.percentile(0.5),
            "percentile_99.5": values.percentile(99.5),
        },
    )


def _low_diversity(images: npt.NDArray[np.uint8], distances: npt.NDArray[np.int64]) -> Flag | None:
    neighbour = float(np.median(distances.min(axis=1)))
    spread = float(np.mean([images[:, row].std(axis=0) for row in range(images.shape[1])]))
    if neighbour >= NEIGHBOUR and spread >= SPREAD:
        return None
    return Flag(
        "low_diversity",
        "The images are much alike, as when a generator has collapsed: the median nearest neighbour is "
        f"{neighbour:.0f} of 256 bits away (real faces: 86), a pixel varies by {spread:.0f} of 255 (real faces: 68).",
        {"median_neighbour_bits": neighbour, "pixel_std": round(spread, 2)},
    )


def _sampling(sampling: str | None) -> Flag | None:
    """Its name has no space, as the CSV keeps flags apart by spaces: the words are in the message."""
    if sampling is None:
        return None
    return Flag("sampling", f"The images are not plainly sampled, as they say: {sampling}.", {"sampling": sampling})


def _trained_against(score: Score) -> Flag | None:
    """Where the network is the one that measures, the message is the score's warning."""
    network, flattery = score.trained_against, score.flattery
    if network is None:
        return None
    message = (
        f"The images' generator was trained against a network, as they say: {network}."
        if flattery is None
        else f"As they say, {flattery}."
    )
    return Flag("trained_against", message, {"trained_against": network})


def _images(count: int, names: Sequence[str]) -> str:
    return f"{count:,} of {len(names):,} images look{'s' * (count == 1)}"


def _brackets(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""
