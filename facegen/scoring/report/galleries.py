"""The choice of images for the report: contact sheets, and groups of images with their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.neighbours import nearest
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.metric_table import MEMORIZATION, PRECISION
from facegen.scoring.report.embedded import ShownImage, read_pictures, sheet

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Images on a contact sheet, groups in a gallery of suspects, groups in another gallery, and neighbours per image.
_GRID, _SUSPECTS, _GROUPS, _NEIGHBOURS = 100, 40, 10, 3
_SEED = 0


@dataclass(frozen=True)
class Group:
    """Pictures that are shown together.

    If there are several, the caption is about the first.
    """

    pictures: tuple[ShownImage, ...]
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Groups under a title, with a caption that says how they were chosen."""

    title: str
    caption: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Galleries:
    """All images that the page shows.

    Attributes:
        sheets: The first images of the set, and the same number of real images.
        suspects: Flagged images with the images of which they may be copies, and near-duplicates. A gallery that
            would be empty is left out.
        beside: Random images with their neighbours, and the images that real images support least and best.
    """

    sheets: tuple[Group, ...]
    suspects: tuple[Gallery, ...]
    beside: tuple[Gallery, ...]


def galleries(evaluation: Evaluation) -> Galleries:
    """Choose the images, read each collection once, and group them.

    The same evaluation gives the same galleries.
    """
    generated, real, copies = evaluation.generated, evaluation.real, evaluation.result(MEMORIZATION)
    random, support = np.random.default_rng(_SEED), evaluation.result(PRECISION).support
    first = np.arange(min(_GRID, len(generated)))
    drawn = np.sort(random.permutation(len(generated))[:_GROUPS])
    sample = np.sort(random.permutation(len(real))[: len(first)])
    distances, neighbours = nearest(generated.features[drawn], real.features, min(_NEIGHBOURS, len(real)))
    order = np.argsort(support, kind="stable")
    best, worst = order[:_GROUPS], order[::-1][:_GROUPS]
    flagged, twins = copies.flagged[:_SUSPECTS], copies.duplicates[:_SUSPECTS]
    shown = np.concatenate([first, drawn, best, worst, flagged, twins.ravel()])
    own = read_pictures(generated.images, shown, "generated image")
    theirs = read_pictures(real.images, np.concatenate([sample, neighbours.ravel()]), "real image")

    which = "all images" if len(first) == len(generated) else f"the first {len(first)} of {len(generated):,} images"
    suspects = [_copies(evaluation, own, flagged)] if len(flagged) else []
    suspects += [_twins(evaluation, own, twins)] if len(twins) else []
    return Galleries(
        sheets=(
            Group((sheet([own[row] for row in first.tolist()]),), f"This set: {which} in order of their names."),
            Group(
                (sheet([theirs[row] for row in sample]),),
                f"The reference: {len(sample)} of its images, drawn at random.",
            ),
        ),
        suspects=tuple(suspects),
        beside=(
            Gallery(
                f"{len(drawn)} random images and their nearest real neighbours",
                "The images are drawn with a fixed seed, not selected. The nearest neighbour comes first. A neighbour "
                "should resemble the image without being the same.",
                tuple(
                    Group(
                        (own[row], *(theirs[neighbour] for neighbour in near)),
                        f"{own[row].name}\ndistances " + ", ".join(f"{distance:.2f}" for distance in apart),
                    )
                    for row, near, apart in zip(drawn, neighbours, distances, strict=True)
                ),
            ),
            _alone(
                "The least supported images",
                "The number is the distance of an image to a real image, divided by the distance of that real image to "
                "its fifth nearest real neighbour, for the real image where this is least. Below 1, the image "
                "resembles some real image. The larger the number, the less it does.",
                own,
                worst,
                support,
            ),
            _alone("The best supported images", "The images with the smallest numbers.", own, best, support),
        ),
    )


def _copies(evaluation: Evaluation, own: Mapping[int, ShownImage], rows: Rows) -> Gallery:
    """Show flagged images, each with the image of which it may be a copy."""
    found = evaluation.result(MEMORIZATION)
    models = _training_pictures(evaluation, found.nearest[rows])
    return Gallery(
        "Flagged images, each beside its nearest training or reference image",
        f"{_part(len(rows), len(found.flagged))} by rising ratio. The threshold is {found.threshold:.3f}.",
        tuple(
            Group(
                (own[row], models[found.nearest[row]]),
                f"{own[row].name}\nratio {found.ratios[row]:.3f}, distance {found.distances[row]:.2f}",
            )
            for row in rows
        ),
    )


def _twins(evaluation: Evaluation, own: Mapping[int, ShownImage], pairs: Rows) -> Gallery:
    """Show near-duplicates, [p, 2], side by side."""
    features = evaluation.generated.features
    apart = np.linalg.norm(features[pairs[:, 0]] - features[pairs[:, 1]], axis=1)
    return Gallery(
        "Near-duplicates within the set",
        f"{_part(len(pairs), len(evaluation.result(MEMORIZATION).duplicates))} pairs, nearest pair first.",
        tuple(
            Group((own[row], own[twin]), f"{own[row].name}, {own[twin].name}\ndistance {distance:.2f}")
            for (row, twin), distance in zip(pairs, apart, strict=True)
        ),
    )


def _alone(title: str, caption: str, own: Mapping[int, ShownImage], rows: Rows, values: Floats) -> Gallery:
    """Show single images, each with its value below."""
    return Gallery(title, caption, tuple(Group((own[row],), f"{own[row].name}\n{values[row]:.2f}") for row in rows))


def _training_pictures(evaluation: Evaluation, rows: Rows) -> dict[int, ShownImage]:
    """Read the training images in these rows of the sets among which copies were looked for."""
    found: dict[int, ShownImage] = {}
    sources = {int(row): evaluation.training_image(row) for row in rows}
    for known in evaluation.training:
        here = {row: own for row, (images, own) in sources.items() if images is known.images}
        read = read_pictures(known.images, np.array(list(here.values()), dtype=np.int64), "training image")
        found |= {row: read[own] for row, own in here.items()}
    return found


def _part(shown: int, of: int) -> str:
    return f"All {of:,}" if shown == of else f"The first {shown} of {of:,}"
