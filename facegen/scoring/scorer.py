"""The scorer: a reference and an extractor, ready to turn any number of image sets into scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegen.errors import InputError
from facegen.metrics.frechet import frechet_distance
from facegen.scoring.extractors import FeatureExtractor, open_extractor
from facegen.scoring.features import feature_statistics
from facegen.scoring.reference import SCHEMA, Reference, open_reference, save_reference
from facegen.scoring.score import FID_TARGET, Score, is_fid


@dataclass(frozen=True)
class Scorer:
    """Scores image sets against one reference.

    Attributes:
        extractor: the network whose features are compared.
        reference: the statistics they are compared with.
        target: the value to stay below, or None where none is judged.
    """

    extractor: FeatureExtractor
    reference: Reference
    target: float | None

    @property
    def key(self) -> str:
        """A hash that changes whenever a score of the same images could: for caches of scores."""
        network = [self.extractor.name, self.extractor.weights_sha256, self.extractor.dims]
        everything = json.dumps([SCHEMA, *network, self.reference.sha256, self.target])
        return hashlib.sha256(everything.encode()).hexdigest()

    @property
    def description(self) -> str:
        """In words: ``"effnet-lite0 FD against 10,000 images"``."""
        n = self.reference.statistics.n
        against = f"the statistics in {self.reference.path}" if n is None else f"{n:,} images"
        return f"{self.extractor.label} against {against}"

    def score(
        self,
        images: Iterable[npt.NDArray[np.uint8]],
        *,
        description: str = "The set of images",
        total: int | None = None,
    ) -> Score:
        """The score of images, each uint8 [H, W, 3] of any size (an array [N, H, W, 3] will do).

        ``description`` is how a progress bar or an error names them; ``total``, how many the bar expects.

        Raises:
            InputError: fewer than two images.
        """
        statistics = feature_statistics(images, self.extractor, description, total)
        value = frechet_distance(statistics, self.reference.statistics)
        assert statistics.n is not None
        return Score(
            metric="fid" if is_fid(self.extractor.name, self.extractor.dims) else "fd",
            value=value,
            n=statistics.n,
            dims=self.extractor.dims,
            extractor=self.extractor.name,
            weights_sha256=self.extractor.weights_sha256,
            reference_n=self.reference.statistics.n,
            reference_sha256=self.reference.sha256,
            target=self.target,
            passed=None if self.target is None else value < self.target,
        )

    def save_reference(self, target: Path) -> None:
        """Write the reference's statistics as an ``.npz`` that can be given as a reference later.

        InputError where ``target`` cannot be written.
        """
        try:
            save_reference(self.reference, self.extractor, target)
        except OSError as problem:
            raise InputError(f"Cannot write {target}: {problem.strerror or problem}.") from problem


def open_scorer(
    reference: Path,
    *,
    extractor: str | None = None,
    weights: Path | None = None,
    dims: int | None = None,
    device: str = "auto",
    target: float | None = None,
) -> Scorer:
    """A scorer against ``reference``: a folder, archive or dataset of images, or an ``.npz`` of statistics.

    ``target`` None means 20 for FID and no target for anything else: 20 in another network's features is another
    distance. For the other options and errors see :func:`facegen.scoring.extractors.open_extractor`.
    """
    if target is not None and not (math.isfinite(target) and target > 0):
        raise InputError(f"The target is {target} and should be a number above 0.")
    network = open_extractor(extractor, weights=weights, dims=dims, device=device)
    if target is None and is_fid(network.name, network.dims):
        target = FID_TARGET
    return Scorer(network, open_reference(reference, network), target)
