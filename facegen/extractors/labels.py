"""The name of a Fréchet distance, which depends on its features."""

from __future__ import annotations

from facegen.extractors.table import extractor_of

#: The distance in the 2,048 features of the published Inception (Heusel et al., arXiv:1706.08500).
FID = "FID"


def is_fid(extractor: str, dims: int) -> bool:
    """Return whether a Fréchet distance in these features is a FID."""
    return metric_label(extractor, dims) == FID


def metric_label(extractor: str, dims: int) -> str:
    """Return ``"FID"``, another established name, or ``"<extractor> FD"``.

    The dims are added if they are not the extractor's default.
    """
    entry = extractor_of(extractor)
    if entry is None:
        return f"{extractor} FD"
    if dims != entry.default_dims:
        return f"{extractor} FD at {dims} dims"
    if entry.distance is not None and extractor == entry.published_as:
        return entry.distance
    return f"{extractor} FD"
