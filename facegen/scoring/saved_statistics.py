"""The file format of facegen's own statistics: pytorch-fid's ``mu`` and ``sigma``, and properties of the images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facegen.data.rgb import LOSSES
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import atomic_path
from facegen.metrics.colours import COLOURS, Colours
from facegen.metrics.detail import Detail
from facegen.metrics.framing import SIDE, MeanImage
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.statistics_file import Arrays


def write_statistics(
    target: Path,
    statistics: FrechetStatistics,
    properties: ImageProperties | None,
    extractor: FeatureExtractor,
    more: Mapping[str, Any],
) -> None:
    """Write mu and sigma as ``.npz``, together with what else is known.

    That is n, the extractor, the properties of the images, and the arrays in ``more``.
    """
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
        if properties.colours is not None:
            colours = properties.colours
            arrays |= {"colours": colours.counts, "colours_of": np.array([colours.n, colours.full, colours.barely])}
        if properties.mean is not None:
            arrays |= {"mean_image": properties.mean.luma, "mean_image_n": properties.mean.n}
        if properties.crop is not None:
            arrays["crop"] = properties.crop
        if properties.losses:
            notes, counts = zip(*properties.losses, strict=True)
            arrays |= {"losses": np.array(notes), "loss_counts": np.array(counts)}
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def properties_in(arrays: Arrays) -> ImageProperties | None:
    """Return the images' properties from the arrays of a file, or None if ``write_statistics`` did not write them."""
    try:
        return _properties(arrays)
    except (TypeError, ValueError, OverflowError):  # the file has other arrays with these names
        return None


def _properties(arrays: Arrays) -> ImageProperties | None:
    sizes, sign, detail, detail_n = (arrays.get(name) for name in ("sizes", "sign", "detail", "detail_n"))
    if sizes is None or sign is None or sizes.ndim != 2 or sizes.shape[1] != 3 or not len(sizes):
        return None
    known = None
    if detail is not None and detail_n is not None and detail.shape == (2, 2):
        known = Detail(int(detail_n), detail[0], detail[1])
    crop = arrays.get("crop")
    return ImageProperties(
        tuple((int(height), int(width), int(count)) for height, width, count in sizes),
        str(sign) or None,
        known,
        _colours_in(arrays),
        _mean_in(arrays),
        None if crop is None else str(crop),
        _losses_in(arrays),
    )


def _colours_in(arrays: Arrays) -> Colours | None:
    counts, of = arrays.get("colours"), arrays.get("colours_of")
    if counts is None or of is None or counts.shape != (COLOURS,) or counts.dtype.kind not in "iu" or of.shape != (3,):
        return None
    n, full, barely = (float(number) for number in of)
    return Colours(int(n), counts.astype(np.int64), full, barely)


def _mean_in(arrays: Arrays) -> MeanImage | None:
    luma, n = arrays.get("mean_image"), arrays.get("mean_image_n")
    if luma is None or n is None or luma.shape != (SIDE, SIDE) or luma.dtype.kind != "f" or not np.isfinite(luma).all():
        return None
    return MeanImage(int(n), luma.astype(np.float64))


def _losses_in(arrays: Arrays) -> tuple[tuple[str, int], ...]:
    notes, counts = arrays.get("losses"), arrays.get("loss_counts")
    if notes is None or counts is None or notes.shape != counts.shape or notes.ndim != 1:
        return ()
    return tuple((str(note), int(count)) for note, count in zip(notes, counts, strict=True) if str(note) in LOSSES)
