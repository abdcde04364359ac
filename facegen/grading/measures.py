"""What a class is measured with: the scorers, and the images in which copies are looked for, opened and warned of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen import console
from facegen.data.images import ImageCollection, open_images
from facegen.errors import InputError
from facegen.grading.face_share import face_share
from facegen.grading.fingerprints import KnownFaces, known_faces
from facegen.grading.flags import Collections
from facegen.pretrained import fingerprints
from facegen.scoring.scorer import SetScorer
from facegen.scoring.statistics_layouts import holds_statistics


@dataclass(frozen=True)
class PrivateMeasure:
    """A second value for every submission, against what the class does not know.

    Attributes:
        reference: real images, or statistics; None for the public reference.
        extractor, weights: what to measure with; without an extractor, with what measures the public value.
        ranks: whether this value ranks, and not the public one.
    """

    reference: Path | None
    extractor: str | None
    weights: Path | None
    ranks: bool

    def __bool__(self) -> bool:
        return self.reference is not None or self.extractor is not None

    def require(self) -> None:
        """InputError where it should rank, or has weights, and is not there."""
        if not self and self.ranks:
            raise InputError("Nothing can be ranked by private values without a private reference.", "Name --private.")
        if self.weights is not None and self.extractor is None:
            raise InputError(f"The weights {self.weights} are of no private extractor.", "Name --private-extractor.")


def about_reference(reference: Path, scorer: SetScorer) -> dict[str, Any]:
    """A reference's name, the number of its images and its content hash, for the leaderboard."""
    measured = scorer.reference
    return {"name": reference.name, "n": measured.statistics.n, "sha256": measured.sha256}


def notice_of(scorer: SetScorer, count: int) -> str | None:
    """Warn of what spoils a reference, and return what the class should know: that its target leaves no margin."""
    properties = scorer.reference.properties
    losses = [] if properties is None else properties.losses_in("the reference")
    for sentence in (*scorer.reference.warnings, *losses):
        console.warn(sentence)
    notice = scorer.margin_warning(count)
    if notice is not None:
        console.warn(notice)
    return notice


def known_collections(reference: Path, train: Path | None, size: int, cache: Path, scorer: SetScorer) -> Collections:
    """The images in which copies are looked for, brought to ``size``; their hashes are kept in ``cache``."""
    # Both are opened before the work, which one that cannot be used would waste.
    training_images = None if train is None else open_images(train)
    faces = training = None
    if holds_statistics(reference):
        console.info(f"{reference.name} holds statistics, not images: copies of the reference are not looked for.")
    else:
        faces = _known(reference, open_images(reference), "reference", size, cache)
    if train is not None and training_images is not None:
        for sentence in () if train.resolve() == reference.resolve() else training_images.warnings:
            console.warn(sentence)
        is_reference = faces is not None and train.resolve() == reference.resolve()
        training = faces if is_reference else _known(train, training_images, "training", size, cache)
    share = None if faces is None else face_share(reference, scorer.reference.sha256, size, cache)
    return Collections(faces, training, fingerprints(), scorer.reference.properties, share)


def _known(path: Path, images: ImageCollection, what: str, size: int, cache: Path) -> KnownFaces:
    console.detail(f"Looking at {len(images):,} {what} images to recognise copies.")
    return known_faces(path, images.sha256, size, cache)
