"""The choice of a feature extractor for statistics: the user's choice, otherwise the one that the statistics name."""

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
    """Open the feature extractor for a score in which some sides are statistics.

    If no image is looked at, the extractor has no network.

    Args:
        files: The files of statistics among the images and the reference.
        looks: Whether any images are looked at.
        extractor: Name of the feature extractor. If it is None, statistics that name their extractor choose it.
            Otherwise Inception is used if its weights are available, and effnet-lite0 if not.
        weights: A state dict to use instead of the extractor's published one.
        dims: Number of features per image. If it is None, the statistics' dims choose among those that the extractor
            offers.
        device: Where the network runs: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        low_memory: Keep the network in memory only while it is needed.

    Raises:
        InputError: The files do not name an extractor, and no extractor has their dims; or an option cannot be used.
        EnvironmentProblem: The weights or the device are not available.
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
    """Return the statistics' dims if the extractor offers them and they are not its default, and tell the user."""
    for file in files:
        if file.dims in entry.dims and file.dims != entry.default_dims:
            console.info(
                f"{file.path} has {file.dims} dims, so the features of {entry.title} are cut there: --dims {file.dims}."
            )
            return file.dims
    return None


def _without_network(entry: Extractor, files: Sequence[StatisticsFile], dims: int | None) -> FeatureExtractor:
    """Return the published extractor without its network: statistics only need its name."""
    dims = dims or _dims_of(entry, files) or entry.default_dims
    sha256, code = entry.weights.sha256, code_hash(entry.module)
    return FeatureExtractor(entry.published_as, sha256, dims, None, torch.device("cpu"), code)


def _as_named(file: StatisticsFile, dims: int) -> FeatureExtractor:
    return FeatureExtractor(str(file.extractor), file.weights_sha256 or "", dims, None, torch.device("cpu"))


def _entry_with(asked: StatisticsFile | int) -> Extractor:
    """Return the first extractor that has these dims."""
    dims = asked if isinstance(asked, int) else asked.dims
    found = next((entry for entry in extractors().values() if dims in entry.dims), None)
    if found is None:
        offered = ", ".join(f"{entry.name} {list(entry.dims)}" for entry in extractors().values())
        where = "" if isinstance(asked, int) else f"{asked.path} does not say which network made it, and "
        raise InputError(
            f"{where}no extractor has {dims} dims: {offered}.", "Choose the --extractor that made the statistics."
        )
    return found
