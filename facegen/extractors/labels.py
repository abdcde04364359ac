"""What a Fréchet distance is called, by the features that it is of."""

from __future__ import annotations

#: The extractor and the dimensions whose Fréchet distance is called FID (Heusel et al., arXiv:1706.08500).
FID_EXTRACTOR, FID_DIMS = "inception-2015-12-05", 2048


def is_fid(extractor: str, dims: int) -> bool:
    """Whether a Fréchet distance of these features is what the field calls FID."""
    return extractor == FID_EXTRACTOR and dims == FID_DIMS


def metric_label(extractor: str, dims: int) -> str:
    """``"FID"``, or ``"<extractor> FD"``, with the dims where Inception was cut before its last pooling."""
    if is_fid(extractor, dims):
        return "FID"
    cut = f" at {dims} dims" if extractor.startswith("inception") and dims != FID_DIMS else ""
    return f"{extractor} FD{cut}"
