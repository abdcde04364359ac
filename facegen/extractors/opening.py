"""Which network looks at the images: the user's choice turned into a feature extractor on a device."""

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
    """The extractor of that name, or the best there is.

    Args:
        extractor: a name in the table; ``"package.module:callable"``, a user's own function; or None: the published
            Inception where its weights are installed or can be downloaded, otherwise effnet-lite0, which is said on
            stderr.
        weights: a state dict to use instead of the extractor's published one; alone, it is Inception's.
        dims: of those that the extractor offers; None for its default.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"mps"``.
        low_memory: let the network look at one image at a time, load it when it is needed, and let it go by
            :meth:`FeatureExtractor.release`. A function of the user's own is taken as it is.

    Raises:
        InputError: an option or a weights file that cannot be used.
        EnvironmentProblem: weights or a device that are not there.
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
    # Nobody chose. A choice of dims is a choice of Inception, but for effnet-lite0's own.
    fallback = table[FALLBACK]
    if dims == fallback.default_dims:
        return _open(fallback, None, dims, device, low_memory)
    told = _failed_download is not None
    if _within_reach(table[DEFAULT].weights):
        return _open(table[DEFAULT], None, dims, device, low_memory)
    if dims is not None:
        raise InputError(
            f"{dims} dims are Inception's, whose weights are out of reach, and {FALLBACK} has {fallback.default_dims}.",
            "Install them with: facegen weights",
        )
    if not told:  # once, however many scorers a command opens
        console.warn(
            f"The Inception weights are out of reach, so the score is an {FALLBACK} Fréchet distance, not FID. "
            "'facegen weights' tells how to install them."
        )
    return _open(fallback, None, None, device, low_memory)


def _within_reach(weights: Weights) -> bool:
    """Whether the file is there or can be had; a download that failed is not tried twice by one process."""
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
    # A package's file is what it is in whichever version; a file that is given may be any.
    published = weights is None or sha256 == entry.weights.sha256
    name = entry.published_as if published else entry.custom_as
    return FeatureExtractor(name, sha256, dims, network, device, code_hash(entry.module), one_by_one=low_memory)


def _load(
    entry: Extractor, path: Path, installed: Installed | None, dims: int, device: torch.device
) -> tuple[FeatureNetwork, str]:
    """The network, and the hash of the very bytes that it is made of: features are stored under it."""
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
    """A caller's random numbers and default dtype count for nothing in a network that is built, and stay as they are.

    Its weights are drawn before they are loaded.
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
        raise InputError(f"--weights {weights} is of no use to {name}, a function of your own.", "Leave it out.")
    function = open_function(name)
    if dims not in (None, function.dims):
        raise InputError(f"{name} gives {function.dims} features an image, not {dims}.", "Leave --dims out.")
    return FeatureExtractor(
        f"custom:{name}", function.sha256, function.dims, function, device, code_hash(name.partition(":")[0])
    )
