"""What a flag is, what the check of one is given, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.grading.fingerprints import Copies, Fingerprints, KnownFaces, Matches, find_copies
from facegen.metrics.phash import Hashes, hamming_distances
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.score import Score

#: Most examples that a flag lists.
EXAMPLES = 20
#: Of every rule: lower case, no space and no colon, as the CSV keeps flags apart by spaces.
_CODE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Flag:
    """A flag of a submission: ``name`` as in the leaderboard, ``message`` for people, ``details`` as evidence."""

    name: str
    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Collections:
    """What submissions are compared with; None where it is not at hand.

    Attributes:
        reference, training: the images that submissions are scored against and that generators were trained on, in
            which copies are looked for.
        shipped: perceptual hashes, uint64 [N, 4], of what facegen's own generator draws.
        properties: of the images that submissions are scored against.
        face_share: the part of them in which a face is found, 0 to 1 (:mod:`facegen.grading.face_share`).
    """

    reference: KnownFaces | None = None
    training: KnownFaces | None = None
    shipped: Hashes | None = None
    properties: ImageProperties | None = None
    face_share: float | None = None


@dataclass(frozen=True)
class SubmittedImages:
    """A submission's images and all that is known of them, apart from other submissions.

    Attributes:
        images: uint8 [N, S, S, 3].
        names: their paths in the archive.
        fingerprints: of the images.
        score: their score, which also has what they say of where they come from.
        collections: in which copies are looked for.
        measured: by a flag's code, what its rule's ``measure`` says of the images.
        likeness: of a generator that was handed in to the one that ships with facegen, −1 to 1
            (:func:`facegen.grading.generators.likeness_to_shipped`); None where images were handed in.
    """

    images: npt.NDArray[np.uint8]
    names: Sequence[str]
    fingerprints: Fingerprints
    score: Score
    collections: Collections = Collections()
    measured: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    likeness: float | None = None

    @cached_property
    def distances(self) -> npt.NDArray[np.int64]:
        """Differing bits, 0 to 256, of the perceptual hashes of every two images: int64 [N, N], 257 on the diagonal."""
        distances = hamming_distances(self.fingerprints.hashes, self.fingerprints.hashes).astype(np.int64)
        np.fill_diagonal(distances, 257)
        return distances

    @cached_property
    def in_reference(self) -> Copies | None:
        """For each image the one of the reference of which it is a copy; None where there are none to look in."""
        return self._copies(self.collections.reference)

    @cached_property
    def in_training(self) -> Copies | None:
        """The same among the training images. Where those are the reference, nothing is looked for twice."""
        same = self.collections.training is self.collections.reference
        return self.in_reference if same else self._copies(self.collections.training)

    def _copies(self, known: KnownFaces | None) -> Copies | None:
        return None if known is None else find_copies(self.images, self.fingerprints, known)


@dataclass(frozen=True)
class SharedImages:
    """A submission's images beside those of another that has some of them too.

    Attributes:
        names: of the submission's images.
        student_number: of the other submission.
        others: the names of its images.
        matches: for each image its nearest near-duplicate among them.
        examples: how many pairs the evidence lists at most: fewer where many submissions share images.
    """

    names: Sequence[str]
    student_number: str
    others: Sequence[str]
    matches: Matches
    examples: int = EXAMPLES


@dataclass(frozen=True)
class Finding:
    """What a check saw.

    Attributes:
        message: a sentence for people.
        details: the evidence, fit for JSON, by the keys that the rule names.
    """

    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class FlagRule:
    """An entry of the table of flags.

    It has a ``check`` of a submission by itself, or a ``compare`` of one with another that shares images with it. Both
    return None where there is nothing to remark. A check depends on what it is given alone: its answer is cached.

    Attributes:
        code: the flag's name in the leaderboard; ``compare`` adds ``:`` and the other student's number.
        meaning: what the flag says, a sentence.
        evidence: the keys of the details, and what each is. ``examples``, where there is one, is a list of objects with
            ``image``, ``match``, ``distance`` in bits and ``mirrored``, which the page shows as a table.
        threshold: from where the flag is raised, a sentence.
        measure: of images uint8 [N, S, S, 3] what takes long and no threshold changes, as float64 of any shape. It is
            kept by the submission's content, and ``check`` finds it in ``measured``.
        measured_by: says what else than its code a measure depends on, as a library's version.
    """

    code: str
    meaning: str
    evidence: Mapping[str, str]
    threshold: str
    check: Callable[[SubmittedImages], Finding | None] | None = None
    compare: Callable[[SharedImages], Finding | None] | None = None
    measure: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]] | None = None
    measured_by: Callable[[], str] | None = None

    @property
    def module(self) -> str:
        """The module of its check or comparison."""
        return (self.check or self.compare).__module__

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"a flag's code has lower-case letters, digits and _ only, not {self.code!r}")
        if (self.check is None) == (self.compare is None):
            raise ValueError(f"the flag {self.code} needs a check or a compare, and not both")
