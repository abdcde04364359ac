"""Statistics in files: pytorch-fid's ``.npz`` with ``mu`` and ``sigma``, and what facegen adds to it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import atomic_path
from facegen.metrics.detail import Detail
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.image_checks import ImageProperties

Arrays = dict[str, npt.NDArray[Any]]


def write_statistics(
    target: Path,
    statistics: FrechetStatistics,
    properties: ImageProperties | None,
    extractor: FeatureExtractor,
    more: Mapping[str, Any],
) -> None:
    """Write mu and sigma, n, the extractor that made them, the images' properties, and the arrays in ``more``."""
    arrays: dict[str, Any] = {
        "mu": statistics.mu,
        "sigma": statistics.sigma,
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        **more,
    }
    if statistics.n is not None:
        arrays["n"] = statistics.n
    if properties is not None:
        arrays |= {"sizes": np.array(properties.sizes), "sign": properties.sign or ""}
        if properties.detail is not None:
            arrays |= {
                "detail": np.stack([properties.detail.mean, properties.detail.variance]),
                "detail_n": properties.detail.n,
            }
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_statistics(path: Path, extractor: FeatureExtractor) -> tuple[FrechetStatistics, Arrays]:
    """The statistics in ``path`` and all its arrays. InputError where they are none or do not fit the extractor."""
    if not path.is_file():
        raise InputError(f"The reference {path} is not there.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as problem:
        raise InputError(f"{path} is not an .npz file of plain arrays: {problem}.") from problem
    if missing := {"mu", "sigma"} - arrays.keys():
        raise InputError(
            f"{path} lacks {' and '.join(sorted(missing))}.",
            "Reference statistics are an .npz with mu and sigma, as 'pytorch-fid --save-stats' and "
            "'facegen fid --save-stats' write them.",
        )
    for name, made_by in (("extractor", extractor.name), ("weights_sha256", extractor.weights_sha256)):
        if name in arrays and str(arrays[name]) != made_by:
            raise InputError(
                f"{path} was made with another extractor: its {name} is {arrays[name]}, not {made_by}.",
                "Distances between features of two networks mean nothing: choose the same --extractor and --weights.",
            )
    mu, sigma = arrays["mu"], arrays["sigma"]
    dims = extractor.dims
    if mu.shape != (dims,) or sigma.shape != (dims, dims):
        raise InputError(
            f"{path} has mu {list(mu.shape)} and sigma {list(sigma.shape)}, but {extractor.name} has {dims} dims.",
            "Choose the --extractor and --dims that the statistics were made with.",
        )
    if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {mu.dtype} and {sigma.dtype}, not numbers.")
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise InputError(f"{path} holds NaN or infinity.")
    if np.abs(sigma - sigma.T).max() > 1e-6 * np.abs(sigma).max():
        raise InputError(f"The sigma in {path} is not symmetric, so it is no covariance.")
    count = arrays.get("n")
    if count is not None and (count.shape != () or count.dtype.kind not in "iu" or count < 2):
        raise InputError(f"The n in {path} is not a number of images.")
    return FrechetStatistics(None if count is None else int(count), mu, sigma), arrays


def properties_in(arrays: Arrays) -> ImageProperties | None:
    """The images' properties in a file's arrays; None where ``write_statistics`` did not write them there."""
    sizes, sign, detail, detail_n = (arrays.get(name) for name in ("sizes", "sign", "detail", "detail_n"))
    if sizes is None or sign is None or sizes.ndim != 2 or sizes.shape[1] != 3 or not len(sizes):
        return None
    known = None
    if detail is not None and detail_n is not None and detail.shape == (2, 2):
        known = Detail(int(detail_n), detail[0], detail[1])
    return ImageProperties(
        tuple((int(height), int(width), int(count)) for height, width, count in sizes), str(sign) or None, known
    )
