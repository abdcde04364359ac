"""Opens the extractor that the user chose, on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from facegen import console
from facegen.code_hash import code_hash
from facegen.device import choose_device, placed
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors.custom import open_function
from facegen.extractors.feature_extractor import FeatureExtractor, FeatureNetwork
from facegen.extractors.low_memory import FleetingNetwork, give_back_memory
from facegen.extractors.table import DEFAULT, FALLBACK, Extractor, extractors
from facegen.weights.source import Installed, Weights
from facegen.weights.state_dicts import read_hashed_state_dict

_failed_download: EnvironmentProblem | None = None


def open_extractor(
    extractor: str | None = None,
    *,
    weights: Path | None = None,
    dims: int | None = None,
    device: str = "auto",
    low_memory: bool = False,
) -> FeatureExtractor:
    """Open an extractor, by default the best one available.

    Args:
        extractor: A name in the table, or ``"package.module:callable"`` for a user's function. None takes the published
            Inception if its weights are installed or can be downloaded, otherwise effnet-lite0, and says so on stderr.
        weights: A state dict to use instead of the extractor's published one. Without ``extractor``, it is Inception's.
        dims: One of the dims that the extractor offers. None for its default.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"mps"``.
        low_memory: Process one image at a time, load the network when it is needed and free it by
            :meth:`FeatureExtractor.release`. This does not affect a user's function.

    Raises:
        InputError: An option or a weights file cannot be used.
        EnvironmentProblem: Weights or a device are missing.
    """
    table = extractors()
    if extractor is not None and ":" in extractor:
        return _open_function(extractor, weights, dims, choose_device(device))
    if extractor is not None and extractor not in table:
        raise InputError(
            f"There is no extractor {extractor!r}.", f"Choose one of: {', '.join(table)}, package.module:callable."
        )
    if extractor is not None or weights is not None:
        return _open(table[extractor or DEFAULT], weights, dims, device, low_memory)
    # No extractor was chosen. Choosing dims means choosing Inception, unless they are those of effnet-lite0.
    fallback = table[FALLBACK]
    if dims == fallback.default_dims:
        return _open(fallback, None, dims, device, low_memory)
    told = _failed_download is not None
    if _within_reach(table[DEFAULT].weights):
        return _open(table[DEFAULT], None, dims, device, low_memory)
    if dims is not None:
        raise InputError(
            f"{dims} dims need Inception's weights, which are not available; {FALLBACK} has {fallback.default_dims}.",
            "Install the weights with: facegen weights",
        )
    if not told:  # once per command, however many scorers it opens
        console.warn(
            f"The Inception weights are not available, so the score is an {FALLBACK} Fréchet distance, not FID. "
            "Run 'facegen weights' to install them."
        )
    return _open(fallback, None, None, device, low_memory)


def _within_reach(weights: Weights) -> bool:
    """Return whether the file is installed or can be downloaded. A failed download is not repeated."""
    global _failed_download
    if _failed_download is not None:
        return False
    try:
        weights.ensure()
    except EnvironmentProblem as problem:
        console.detail(str(problem))
        _failed_download = problem
        return False
    return True


def _open(
    entry: Extractor, weights: Path | None, dims: int | None, device_name: str, low_memory: bool
) -> FeatureExtractor:
    if weights is not None and not entry.weights.replaceable:
        takers = [other.title for other in extractors().values() if other.weights.replaceable]
        raise InputError(
            f"--weights {weights} is for {' or '.join(takers)}; {entry.name} has its own.", "Leave one of them out."
        )
    device = choose_device(device_name)
    dims = entry.default_dims if dims is None else dims
    if dims not in entry.dims:
        _refuse_dims(entry, dims)
    if weights is None:
        installed = entry.weights.ensure()
        path = installed.path
    else:
        path, installed = weights, None
    network, sha256 = _load(entry, path, installed, dims, device)
    if low_memory:
        network = FleetingNetwork(lambda: _load_again(entry, path, installed, dims, device, sha256))
        give_back_memory()
    # The file of a package is accepted in any version. A file that the user names can hold anything.
    published = weights is None or sha256 == entry.weights.sha256
    name = entry.published_as if published else entry.custom_as
    return FeatureExtractor(name, sha256, dims, network, device, code_hash(entry.module), one_by_one=low_memory)


def _load(
    entry: Extractor, path: Path, installed: Installed | None, dims: int, device: torch.device
) -> tuple[FeatureNetwork, str]:
    """Load the network, and hash the bytes that it was made from. Features are stored under this hash."""
    state_dict, sha256 = read_hashed_state_dict(path)
    if installed is not None and sha256 != installed.sha256:
        raise _changed(path)
    try:
        with _undisturbed():
            network: Any = entry.build(state_dict, dims)
    except ValueError as problem:
        raise InputError(
            f"{path} does not hold the weights of {entry.title}: {problem}.",
            f"Fetch the published ones: {entry.weights.source}" if installed is None else entry.weights.reinstall,
        ) from problem
    return placed(network, device), sha256


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Isolate the building of a network from the caller's random state and default dtype, and restore both.

    Random weights are drawn before the real ones are loaded.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _load_again(
    entry: Extractor, path: Path, installed: Installed | None, dims: int, device: torch.device, sha256: str
) -> FeatureNetwork:
    network, now = _load(entry, path, installed, dims, device)
    if now != sha256:
        raise _changed(path)
    return network


def _changed(path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(f"The weights {path} changed while they were read.", "Run it again.")


def _refuse_dims(entry: Extractor, dims: int) -> None:
    if len(entry.dims) == 1:
        raise InputError(f"{entry.name} has {entry.default_dims} dims, not {dims}.", "Leave --dims out.")
    raise InputError(f"{entry.title} has no {dims} dims.", f"Choose one of: {', '.join(map(str, entry.dims))}.")


def _open_function(name: str, weights: Path | None, dims: int | None, device: torch.device) -> FeatureExtractor:
    if weights is not None:
        raise InputError(f"--weights {weights} has no effect on {name}, a function of your own.", "Leave it out.")
    function = open_function(name)
    if dims not in (None, function.dims):
        raise InputError(f"{name} gives {function.dims} features per image, not {dims}.", "Leave --dims out.")
    return FeatureExtractor(
        f"custom:{name}", function.sha256, function.dims, function, device, code_hash(name.partition(":")[0])
    )
