"""What a Fréchet distance is called, by the features that it is of."""

from __future__ import annotations

from facegen.extractors.table import extractor_of

#: The distance of the published Inception's 2,048 features (Heusel et al., arXiv:1706.08500).
FID = "FID"


def is_fid(extractor: str, dims: int) -> bool:
    """Whether a Fréchet distance of these features is what the field calls FID."""
    return metric_label(extractor, dims) == FID


def metric_label(extractor: str, dims: int) -> str:
    """``"FID"``, another name that the field has for it, or ``"<extractor> FD"``.

    The dims are told where they are not the extractor's default.
    """
    entry = extractor_of(extractor)
    if entry is None:
        return f"{extractor} FD"
    if dims != entry.default_dims:
        return f"{extractor} FD at {dims} dims"
    if entry.distance is not None and extractor == entry.published_as:
        return entry.distance
    return f"{extractor} FD"
