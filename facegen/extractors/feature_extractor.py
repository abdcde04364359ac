"""A feature extractor that is ready for work: images in, features out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegen.cnn.autocast import without_autocast
from facegen.device import memory_format
from facegen.extractors.custom import ImageFunction

Images = npt.NDArray[np.uint8]

#: Small batches stay in a CPU's caches: Inception at 8 is as quick as it gets, and 2.3 times quicker than at 50. An
#: Apple GPU has the computer's memory, which may be 8 GB; Inception's largest maps at 32 take 0.2 GB each.
CPU_BATCH, CUDA_BATCH, MPS_BATCH = 8, 128, 32


class FeatureNetwork(Protocol):
    """A torch module in two steps, so that images of several sizes can be resized one by one and then batched."""

    def resize(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] → what the network takes, float32 [n, 3, h, w]."""

    def __call__(self, resized: Tensor) -> Tensor:
        """What ``resize`` made → features, float32 [n, dims]."""


@runtime_checkable
class ReleasableNetwork(Protocol):
    """A network that can be let go of, and comes again by itself."""

    def release(self) -> None: ...


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features.

    Attributes:
        name: in results: ``inception-2015-12-05`` (the published weights), ``inception-custom`` (others),
            ``custom:package.module:callable`` (a user's own function).
        weights_sha256: of its weights file; of a user's own function, of its source.
        dims: features an image.
        network: in eval mode, on ``device``; or a user's own function. None where statistics that it made are compared
            with each other, and there is no image to look at.
        device: where it runs.
        code: a hash of the code of the network or function (:func:`facegen.code_hash.code_hash`), for keys of caches.
        one_by_one: whether it takes one image at a time, in the least memory.
    """

    name: str
    weights_sha256: str
    dims: int
    network: FeatureNetwork | ImageFunction | None
    device: torch.device
    code: str = ""
    one_by_one: bool = False

    @property
    def batch(self) -> int:
        """How many images it takes at a time; the features do not depend on it but for rounding."""
        if self.one_by_one:
            return 1
        return {"cuda": CUDA_BATCH, "mps": MPS_BATCH}.get(self.device.type, CPU_BATCH)

    def __call__(self, images: Sequence[Images]) -> npt.NDArray[np.float32]:
        """Features [n, dims] of n images, each uint8 [H, W, 3] of any size. ValueError where there is no network."""
        if self.network is None:
            raise ValueError(f"{self.name} stands for its statistics here, and looks at no image")
        if isinstance(self.network, ImageFunction):
            return self.network(images)
        with torch.inference_mode(), _full_precision(self.device):
            return self.network(self._resized(images, self.network)).cpu().numpy()

    def release(self) -> None:
        """Let the network's memory go, where it was opened for little memory; the next images load it again."""
        if isinstance(self.network, ReleasableNetwork):
            self.network.release()

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

    def _resized(self, images: Sequence[Images], network: FeatureNetwork) -> Tensor:
        if len({image.shape for image in images}) == 1:
            return network.resize(self._upload(np.stack(images)))
        return torch.cat([network.resize(self._upload(image[None])) for image in images])

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
        matmul = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul
