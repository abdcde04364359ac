"""The rule of a flag, the inputs of its check, and its results."""

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

#: Maximum number of examples that a flag lists.
EXAMPLES = 20
#: The form of a flag's code: lower case, no space and no colon, because the CSV separates flags by spaces.
_CODE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Flag:
    """A flag of a submission: its ``name`` on the leaderboard, a ``message``, and ``details`` as evidence."""

    name: str
    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Collections:
    """The data with which submissions are compared. A field is None if it is not available.

    Attributes:
        reference, training: The images of the reference and of the training set, in which copies are looked for.
        shipped: Perceptual hashes, uint64 [N, 4], of the images that facegen's own generator draws.
        properties: Properties of the reference's images.
        face_share: The share of the reference's images in which a face is found, 0 to 1
            (:mod:`facegen.grading.face_share`).
    """

    reference: KnownFaces | None = None
    training: KnownFaces | None = None
    shipped: Hashes | None = None
    properties: ImageProperties | None = None
    face_share: float | None = None


@dataclass(frozen=True)
class SubmittedImages:
    """A submission's images and everything that is known about them without other submissions.

    Attributes:
        images: The images, uint8 [N, S, S, 3].
        names: Their paths in the archive.
        fingerprints: Their fingerprints.
        score: Their score, which also holds what they say about their origin.
        collections: The collections in which copies are looked for.
        measured: The result of each rule's ``measure`` on the images, by the flag's code.
        likeness: The similarity of a generator's weights to those of the one that ships with facegen, −1 to 1
            (:func:`facegen.grading.generators.likeness_to_shipped`); None if images were handed in.
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
        """The number of differing bits, 0 to 256, of the perceptual hashes of every two images.

        int64 [N, N], with 257 on the diagonal.
        """
        distances = hamming_distances(self.fingerprints.hashes, self.fingerprints.hashes).astype(np.int64)
        np.fill_diagonal(distances, 257)
        return distances

    @cached_property
    def in_reference(self) -> Copies | None:
        """For each image, the image of the reference of which it is a copy; None if there is no such collection."""
        return self._copies(self.collections.reference)

    @cached_property
    def in_training(self) -> Copies | None:
        """The same for the training images. If they are the reference, the search is not repeated."""
        same = self.collections.training is self.collections.reference
        return self.in_reference if same else self._copies(self.collections.training)

    def _copies(self, known: KnownFaces | None) -> Copies | None:
        return None if known is None else find_copies(self.images, self.fingerprints, known)


@dataclass(frozen=True)
class SharedImages:
    """A submission's images beside those of another submission that has some of them too.

    Attributes:
        names: The names of the submission's images.
        student_number: The student number of the other submission.
        others: The names of the other submission's images.
        matches: For each image, its nearest near-duplicate among the others.
        examples: Maximum number of pairs in the evidence. It is smaller if many submissions share images.
    """

    names: Sequence[str]
    student_number: str
    others: Sequence[str]
    matches: Matches
    examples: int = EXAMPLES


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        message: A sentence for people.
        details: The evidence, ready for JSON, with the keys that the rule names.
    """

    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class FlagRule:
    """An entry of the table of flags.

    A rule has either a ``check`` of a submission by itself, or a ``compare`` of a submission with another one that
    shares images with it. Both return None if there is nothing to report. A check must depend only on its argument,
    because its result is cached.

    Attributes:
        code: The flag's name on the leaderboard. ``compare`` adds ``:`` and the other student's number.
        meaning: A sentence that says what the flag means.
        evidence: The keys of the details and their meanings. The key ``examples`` is optional. It holds a list of
            objects with ``image``, ``match``, ``distance`` in bits and ``mirrored``, which the page shows as a table.
        threshold: A sentence that says when the flag is raised.
        measure: Computes slow measurements of images, uint8 [N, S, S, 3], that do not depend on a threshold, as
            float64 of any shape. They are kept by the submission's content, and ``check`` finds them in ``measured``.
        measured_by: Returns what a measure depends on besides its code, for example a library's version.
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
        """The module of the check or the comparison."""
        return (self.check or self.compare).__module__

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"a flag's code may only have lower-case letters, digits and _, not {self.code!r}")
        if (self.check is None) == (self.compare is None):
            raise ValueError(f"the flag {self.code} needs either a check or a compare")
