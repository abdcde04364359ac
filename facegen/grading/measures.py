"""Opening what a class is measured with: the scorers, and the images in which copies are looked for."""

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
    """A second value for every submission, against data that the class does not know.

    Attributes:
        reference: Real images or statistics; None for the public reference.
        extractor, weights: The feature extractor of the private value; without one, that of the public value.
        ranks: Whether this value ranks the submissions instead of the public one.
    """

    reference: Path | None
    extractor: str | None
    weights: Path | None
    ranks: bool

    def __bool__(self) -> bool:
        return self.reference is not None or self.extractor is not None

    def require(self) -> None:
        """Raise InputError if there is no private measure although it should rank, or if weights lack an extractor."""
        if not self and self.ranks:
            raise InputError("--rank-by private needs a private value.", "Add --private or --private-extractor.")
        if self.weights is not None and self.extractor is None:
            raise InputError(
                f"--private-weights {self.weights} has no private extractor.", "Name it with --private-extractor."
            )


def about_reference(reference: Path, scorer: SetScorer) -> dict[str, Any]:
    """Return the name, number of images and content hash of a reference, for the leaderboard."""
    measured = scorer.reference
    return {"name": reference.name, "n": measured.statistics.n, "sha256": measured.sha256}


def notice_of(scorer: SetScorer, count: int) -> str | None:
    """Warn about problems of the reference, and return what the class should know: that the target leaves no margin.

    Return None if the target leaves a margin.
    """
    properties = scorer.reference.properties
    losses = [] if properties is None else properties.losses_in("the reference")
    for sentence in (*scorer.reference.warnings, *losses):
        console.warn(sentence)
    notice = scorer.margin_warning(count)
    if notice is not None:
        console.warn(notice)
    return notice


def known_collections(reference: Path, train: Path | None, size: int, cache: Path, scorer: SetScorer) -> Collections:
    """Return the images in which copies are looked for, brought to ``size``. Their hashes are cached in ``cache``."""
    # Open both before the work starts, so that an unusable one is reported at once.
    training_images = None if train is None else open_images(train)
    faces = training = None
    if holds_statistics(reference):
        console.info(f"{reference.name} holds statistics, not images, so copies of the reference cannot be looked for.")
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
