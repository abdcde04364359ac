"""Statistics or features that are given instead of images, and the checks that they are valid."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.errors import InputError
from facegen.extractors.custom import MOST_DIMS
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.table import extractor_of, extractors
from facegen.files import Damaged
from facegen.held_file import HeldFile
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics, flaw_of

Arrays = Mapping[str, npt.NDArray[Any]]

#: Rows of features per block.
_BLOCK = 4096
#: Maximum size of a stored word in bytes: 200 characters.
_LONGEST = 800


@dataclass(frozen=True)
class StatisticsFile:
    """A file, or a pair of files, with the mean and covariance of features, or with the features themselves.

    Attributes:
        path: The path that the user named.
        files: The files that are read and hashed, opened once: one file, or the two ``.npy`` files of a pair.
        names: The names of mean and covariance in the file.
        arrays: All arrays in the file, by name. Each is read when it is asked for.
        mu, sigma: Mean and covariance as they are stored; None if there are features instead.
        rows: Features of each image, [N, D], as they are stored; None if there are mu and sigma.
        has_more: Whether other arrays, such as images, are in the file. They are ignored.
    """

    path: Path
    files: tuple[HeldFile, ...]
    names: tuple[str, str]
    arrays: Arrays
    mu: npt.NDArray[Any] | None = None
    sigma: npt.NDArray[Any] | None = None
    rows: npt.NDArray[Any] | None = None
    has_more: bool = False

    @property
    def dims(self) -> int:
        """The number of features per image."""
        if self.rows is not None:
            return int(self.rows.shape[1])
        assert self.mu is not None and self.sigma is not None
        return int(min(self.mu.size, self.sigma.size))  # the two may be swapped

    @property
    def extractor(self) -> str | None:
        """The feature extractor, as in :attr:`facegen.scoring.score.Score.extractor`; None if the file has none."""
        return self._text("extractor")

    @property
    def weights_sha256(self) -> str | None:
        """The hash of the feature extractor's weights; None if the file has none."""
        return self._text("weights_sha256")

    def _text(self, name: str) -> str | None:
        """Return a word stored beside the arrays, or None if there is none."""
        array = self.arrays.get(name)
        if array is None:
            return None
        if array.size != 1 or array.dtype.kind != "U" or array.dtype.itemsize > _LONGEST:
            raise InputError(f"The {name} in {self.path} is {array.dtype} {list(array.shape)}, not a word.")
        return str(array.item())

    @cached_property
    def sha256(self) -> str:
        """The content hash: that of the file's bytes, or of the statistics alone if there are images beside them."""
        try:
            if len(self.files) > 1:
                return hashlib.sha256("".join(file.sha256() for file in self.files).encode()).hexdigest()
            if not self.has_more:
                return self.files[0].sha256()
        except Damaged as problem:
            raise InputError(f"Cannot use {self.path}: {problem}.", "Run the command again.") from problem
        digest = hashlib.sha256()
        for array in (self.mu, self.sigma, self.rows):
            if array is not None:
                digest.update(f"{array.dtype.str}{list(array.shape)}".encode() + array.tobytes())
        return digest.hexdigest()

    def statistics(self, extractor: FeatureExtractor) -> FrechetStatistics:
        """Return the statistics, which must be of features of ``extractor``.

        Raises:
            InputError: Another extractor made them, or they are not a mean and a covariance. The message says which.
        """
        for name, made_by in (("extractor", extractor.name), ("weights_sha256", extractor.weights_sha256)):
            said = getattr(self, name)
            if said is not None and said != made_by:
                raise InputError(
                    f"{self.path} was made with another extractor: its {name} is {said}, not {made_by}.",
                    "Distances between features of two networks mean nothing. Choose the same --extractor and "
                    "--weights.",
                )
        if self.rows is not None:
            return self._summed_up(self.rows, extractor)
        assert self.mu is not None and self.sigma is not None
        mu, sigma = self._shaped(extractor)
        if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
            raise InputError(
                f"{self.path} holds {mu.dtype} and {sigma.dtype}, not real numbers.",
                "Store both as float64. If a matrix root left complex numbers, store the real part.",
            )
        if np.float16 in (mu.dtype, sigma.dtype):
            raise InputError(
                f"{self.path} holds {mu.dtype} and {sigma.dtype}: numbers with three digits are too coarse for a "
                "distance.",
                "Compute the statistics in float64.",
            )
        with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinity
            mu, sigma = mu.astype(np.float64, copy=False), sigma.astype(np.float64, copy=False)
        flaw = flaw_of(mu, sigma)
        if flaw is not None:
            raise InputError(
                f"{self.path} holds no statistics of features: {flaw}.",
                "Compute them again: numpy.mean(features, axis=0) and numpy.cov(features, rowvar=False).",
            )
        return FrechetStatistics(self._count(), mu, sigma)

    def features(self, images: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """Return the features of these images, float32 [k, D], or None if the file has statistics only."""
        return None if self.rows is None else np.asarray(self.rows[images], dtype=np.float32)

    def _shaped(self, extractor: FeatureExtractor) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return mu [D] and sigma [D, D]."""
        assert self.mu is not None and self.sigma is not None
        first, second = self.names
        mu, sigma, dims = self.mu, self.sigma, extractor.dims
        given = f"{first} {list(mu.shape)} and {second} {list(sigma.shape)}"
        if mu.ndim == 2 and mu.shape[0] == mu.shape[1] > 1 and sigma.size == mu.shape[0]:
            raise InputError(
                f"{self.path} has {given}: the two are swapped.", "Name the mean mu, and the covariance sigma."
            )
        if sigma.ndim <= 2 and sigma.size == mu.size > 1:
            raise InputError(
                f"The {second} {list(sigma.shape)} in {self.path} holds variances alone, one per feature.",
                f"A Fréchet distance needs the covariance, [{mu.size}, {mu.size}]: numpy.cov(features, rowvar=False).",
            )
        row = mu.squeeze() if mu.ndim > 1 and mu.size == max(mu.shape) else mu
        matrix = sigma[0] if sigma.ndim == 3 and len(sigma) == 1 else sigma
        row, matrix = np.atleast_1d(row), np.atleast_2d(matrix)
        if row.ndim != 1 or matrix.shape != (row.size, row.size):
            raise InputError(
                f"{self.path} has {given}, which do not belong together.",
                "A mean of D features is [D], and its covariance [D, D]: numpy.mean(features, axis=0) and "
                "numpy.cov(features, rowvar=False).",
            )
        if row.size > MOST_DIMS:
            raise InputError(f"{self.path} has {given}, but a Fréchet distance takes at most {MOST_DIMS:,} features.")
        if row.size != dims:
            raise InputError(
                f"{self.path} has {given}, but {extractor.name} has {dims} dims.",
                _remedy(extractor, row.size) or "Choose the --extractor and --dims that the statistics were made with.",
            )
        return row, matrix

    def _count(self) -> int | None:
        """Return the number of images that the statistics summarise, or None if the file does not say."""
        count = self.arrays.get("n")
        if count is None:
            return None
        whole = count.size == 1 and count.dtype.kind in "iuf" and np.isfinite(count).all()
        if not whole or count.item() != int(count.item()) or count.item() < 2:
            shown = count.item() if count.size == 1 else f"an array {list(count.shape)}"
            raise InputError(
                f"The n in {self.path} is {shown}, not a number of images. A covariance needs at least 2.",
                "Leave n out if the number is not known.",
            )
        return int(count.item())

    def _summed_up(self, rows: npt.NDArray[Any], extractor: FeatureExtractor) -> FrechetStatistics:
        if rows.shape[1] != extractor.dims:
            raise InputError(
                f"{self.path} holds features {list(rows.shape)}, but {extractor.name} has {extractor.dims} dims.",
                _remedy(extractor, rows.shape[1]) or "Choose the --extractor and --dims that they were made with.",
            )
        if len(rows) < 2:
            raise InputError(
                f"{self.path} holds features {list(rows.shape)}, but a covariance needs at least 2 images."
            )
        running = RunningStatistics(extractor.dims)
        most = np.finfo(np.float32).max
        for first in range(0, len(rows), _BLOCK):
            block = np.asarray(rows[first : first + _BLOCK])
            if not (np.abs(block) <= most).all():
                raise InputError(f"The features in {self.path} hold NaN, infinity or numbers too large for float32.")
            running.update(block.astype(np.float32))
        return running.finish()


def _remedy(extractor: FeatureExtractor, dims: int) -> str | None:
    """Return the option with which statistics of these dims fit, or None if no extractor has these dims."""
    own = extractor_of(extractor.name)
    if own is not None and dims in own.dims:
        return f"If {own.title} made them, add --dims {dims}."
    for entry in extractors().values():
        if dims in entry.dims:
            option = "" if dims == entry.default_dims else f" --dims {dims}"
            return f"If {entry.title} made them, add --extractor {entry.name}{option}."
    return None
