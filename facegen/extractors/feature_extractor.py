"""A feature extractor that is ready to use: images in, features out."""

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

#: Batch size on a CPU and on an Apple GPU. Small batches stay in a CPU's caches: Inception is fastest at 8, 2.3 times
#: as fast as at 50. An Apple GPU shares the computer's memory, perhaps 8 GB; at 32, Inception's largest maps take 0.2
#: GB each.
CPU_BATCH, CUDA_BATCH, MPS_BATCH = 8, 128, 32


class FeatureNetwork(Protocol):
    """A torch module with two steps, so that images of several sizes can be resized one by one and then batched."""

    def resize(self, images: Tensor) -> Tensor:
        """Resize uint8 [n, 3, H, W] to the network's input, float32 [n, 3, h, w]."""

    def __call__(self, resized: Tensor) -> Tensor:
        """Compute features, float32 [n, dims], of the output of ``resize``."""


@runtime_checkable
class ReleasableNetwork(Protocol):
    """A network whose memory can be released, and which loads itself again when needed."""

    def release(self) -> None: ...


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features.

    Attributes:
        name: The name in results: ``inception-2015-12-05`` (the published weights), ``inception-custom`` (other
            weights) or ``custom:package.module:callable`` (a user's function).
        weights_sha256: The sha256 of the weights file, or of the source of a user's function.
        dims: Number of features per image.
        network: A network in eval mode on ``device``, or a user's function. None if only statistics are compared, and
            no image has to be read.
        device: The device of the network.
        code: Hash of the code of the network or function (:func:`facegen.code_hash.code_hash`), for cache keys.
        one_by_one: Whether to process one image at a time, to use the least memory.
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
        """Number of images per batch. The features depend on it only by rounding."""
        if self.one_by_one:
            return 1
        return {"cuda": CUDA_BATCH, "mps": MPS_BATCH}.get(self.device.type, CPU_BATCH)

    def __call__(self, images: Sequence[Images]) -> npt.NDArray[np.float32]:
        """Compute features [n, dims] of n images, each uint8 [H, W, 3] of any size.

        Raises:
            ValueError: There is no network.
        """
        if self.network is None:
            raise ValueError(f"{self.name} stands for its statistics here, and looks at no image")
        if isinstance(self.network, ImageFunction):
            return self.network(images)
        with torch.inference_mode(), _full_precision(self.device):
            return self.network(self._resized(images, self.network)).cpu().numpy()

    def release(self) -> None:
        """Release the network's memory if it was opened for low memory. The next images load it again."""
        if isinstance(self.network, ReleasableNetwork):
            self.network.release()

    def all_features(self, images: Images) -> npt.NDArray[np.float32]:
        """Compute features [n, dims] of n images, uint8 [n, H, W, 3], batch by batch.

        The last batch is filled with copies of its last image. The libraries of a GPU prepare for each batch size,
        which takes longer than the extra images.
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
        # Transfer uint8, a quarter of float32's bytes. The permuted NHWC tensor is channels_last already.
        uploaded = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return uploaded.contiguous(memory_format=memory_format(self.device))


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in plain float32. Under a caller's autocast, or with TF32, a score would lose its last digits."""
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
