"""Which extractor statistics are of: the user's choice, else what they say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from facegen import console
from facegen.code_hash import code_hash
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.opening import open_extractor
from facegen.extractors.table import DEFAULT, Extractor, extractor_of, extractors
from facegen.scoring.statistics_file import StatisticsFile


def open_extractor_for(
    files: Sequence[StatisticsFile],
    looks: bool,
    extractor: str | None,
    *,
    weights: Path | None,
    dims: int | None,
    device: str,
    low_memory: bool = False,
) -> FeatureExtractor:
    """The extractor of a score with these statistics on its sides; without its network where it ``looks`` at no image.

    The options and errors are those of :func:`facegen.extractors.opening.open_extractor`. Where they leave it open,
    statistics that name their extractor choose it. Where the extractor is chosen, their dims choose among its.

    Raises:
        InputError: two files that say nothing, of dims that no extractor has.
    """
    said = next((file for file in files if file.extractor is not None), None)
    if extractor is None and weights is None:
        if said is not None and not looks:
            return _as_named(said, said.dims if dims is None else dims)
        entry = None if said is None or said.extractor is None else extractor_of(said.extractor)
        if entry is not None and said is not None and entry.published_as == said.extractor:
            return open_extractor(
                entry.name, dims=said.dims if dims is None else dims, device=device, low_memory=low_memory
            )
        if not looks:
            return _without_network(_entry_with(files[0] if dims is None else dims), files, dims)
        return open_extractor(None, dims=dims, device=device, low_memory=low_memory)
    chosen = extractors().get(DEFAULT if extractor is None else extractor)
    if chosen is not None:
        if weights is None and not looks:
            return _without_network(chosen, files, dims)
        dims = _dims_of(chosen, files) if dims is None else dims
    return open_extractor(extractor, weights=weights, dims=dims, device=device, low_memory=low_memory)


def _dims_of(entry: Extractor, files: Sequence[StatisticsFile]) -> int | None:
    """The dims of the statistics, where the extractor offers them and they are not its default; said aloud."""
    for file in files:
        if file.dims in entry.dims and file.dims != entry.default_dims:
            console.info(f"{file.path} has {file.dims} dims, so {entry.title} is cut there: --dims {file.dims}.")
            return file.dims
    return None


def _without_network(entry: Extractor, files: Sequence[StatisticsFile], dims: int | None) -> FeatureExtractor:
    """The published extractor as a name: statistics need no more of it."""
    dims = dims or _dims_of(entry, files) or entry.default_dims
    sha256, code = entry.weights.sha256, code_hash(entry.module)
    return FeatureExtractor(entry.published_as, sha256, dims, None, torch.device("cpu"), code)


def _as_named(file: StatisticsFile, dims: int) -> FeatureExtractor:
    return FeatureExtractor(str(file.extractor), file.weights_sha256 or "", dims, None, torch.device("cpu"))


def _entry_with(asked: StatisticsFile | int) -> Extractor:
    """The first extractor that has so many dims."""
    dims = asked if isinstance(asked, int) else asked.dims
    found = next((entry for entry in extractors().values() if dims in entry.dims), None)
    if found is None:
        offered = ", ".join(f"{entry.name} {list(entry.dims)}" for entry in extractors().values())
        where = "" if isinstance(asked, int) else f"{asked.path} does not say which network made it, and "
        raise InputError(
            f"{where}no extractor has {dims} dims: {offered}.", "Choose the --extractor that the statistics are of."
        )
    return found
