"""Batches of real images: the dataset on the device, shuffled and flipped there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegen.device import memory_format
from facegen.training.distributed import Ranks
from facegen.training.staging_buffer import TensorSpec

#: Numbers of the random streams. Two uses that share a number would draw the same values.
ORDER, STEP = 1, 2


def seeded(seed: int, stream: int, index: int) -> torch.Generator:
    """Return a CPU generator of random numbers that depends only on ``seed``, ``stream`` and ``index``.

    What is drawn at a step does not depend on the steps before it. So a resumed run draws the same values as a run that
    was never stopped, on any device and with any number of ranks.
    """
    # Odd multipliers spread neighbouring triples over the 64-bit seeds.
    key = seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + index * 0x94D049BB133111EB + 1
    return torch.Generator().manual_seed(key % 2**63)


class RealImages:
    """Endless batches of the dataset's images.

    Each epoch has a new order. Batches run across the end of an epoch without a gap.

    Args:
        images: The dataset's images, uint8 [N, S, S, 3], possibly memory-mapped. They stay in device memory when they
            fit into half of the free device memory (all of CelebA at 64×64 is 2.5 GB). Otherwise each batch is sent
            on its own.
        rows: Indices of the images to train on, int64.
        batch: Number of images in a global batch, over all ranks.
        seed: Seed of the shuffling.
        device: The device that receives the batches.
        ranks: The ranks that share each batch.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.int64],
        *,
        batch: int,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self._batch, self._seed, self._device, self._ranks = batch, seed, device, ranks
        self._rows = torch.from_numpy(rows)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._memory_mapped = images
        self._images: Tensor | None = None
        wanted = len(rows) * int(np.prod(images.shape[1:]))
        if device.type == "cuda" and wanted <= torch.cuda.mem_get_info(device)[0] // 2:
            self._images = torch.from_numpy(images[rows]).to(device)

    @property
    def on_device(self) -> bool:
        return self._images is not None

    def _positions(self, first: int, last: int) -> Tensor:
        """Return the positions in ``rows`` of images ``first`` to ``last − 1`` of the endless sequence."""
        count = len(self._rows)
        parts = []
        while first < last:
            epoch, start = divmod(first, count)
            if epoch != self._epoch:
                self._order = torch.randperm(count, generator=seeded(self._seed, ORDER, epoch))
                self._epoch = epoch
            stop = min(count, start + last - first)
            parts.append(self._order[start:stop])
            first += stop - start
        return torch.cat(parts)

    @property
    def spec(self) -> TensorSpec:
        """The tensor that :meth:`fill` fills: positions, when the images are in device memory, or else the pixels."""
        share = self._batch // self._ranks.world
        if self._images is not None:
            return TensorSpec((share,), torch.int64)
        return TensorSpec((share, *self._memory_mapped.shape[1:]), torch.uint8)

    def fill(self, number: int, sent: Tensor) -> None:
        """Write this rank's share of batch ``number`` to ``sent``, a tensor on the host."""
        positions = self._ranks.shard(self._positions(number * self._batch, (number + 1) * self._batch))
        if self._images is not None:
            sent.copy_(positions)
        else:
            sent.copy_(torch.from_numpy(self._memory_mapped[self._rows[positions].numpy()]))

    def images(self, sent: Tensor, mirrored: Tensor | None) -> Tensor:
        """Return the images that :meth:`fill` wrote, on the device: float32 [b, 3, S, S] in [−1, 1].

        Args:
            sent: The tensor that :meth:`fill` wrote, on the device.
            mirrored: Which images to flip left to right, bool [b]; None flips none.
        """
        pixels = sent if self._images is None else self._images[sent]
        # [b, H, W, 3] viewed as [b, 3, H, W] is already channels_last. The scale is a product, because a GPU rounds a
        # division differently from a CPU.
        images = pixels.permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1)
        images = images.contiguous(memory_format=memory_format(self._device))
        if mirrored is not None:
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return images

    def __call__(self, number: int, mirrored: Tensor | None) -> Tensor:
        """Return this rank's images of batch ``number``.

        Args:
            number: Number of the batch, counted from 0.
            mirrored: Which images of the global batch to flip left to right, bool [B]; None flips none.
        """
        sent = torch.empty(self.spec.shape, dtype=self.spec.dtype)
        self.fill(number, sent)
        chosen = None if mirrored is None else self._ranks.shard(mirrored).to(self._device)
        return self.images(sent.to(self._device), chosen)
