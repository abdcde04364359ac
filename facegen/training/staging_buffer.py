"""The staging buffer: the host fills it anew for each step, and the device reads it at the same addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

#: Alignment of the tensors in a packed buffer, in bytes. Compilers assume that their inputs are aligned.
ALIGNED = 64

Tensors = dict[str, Tensor]


class TensorSpec(NamedTuple):
    """The shape and dtype of a tensor in the buffer."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def bytes(self) -> int:
        return self.dtype.itemsize * torch.Size(self.shape).numel()


class StagingBuffer:
    """Tensors that the host writes and the device reads.

    A CUDA device receives all of them in one copy from pinned memory, because a copy for each would cost more than the
    bytes do. On a CPU, the host writes into the tensors that the step reads.

    Args:
        specs: The shape and dtype of each tensor, by name.
        device: The device that reads the tensors.
        packed: Whether to put them into one buffer; by default on CUDA devices only.

    Attributes:
        on_device: The tensors that the step reads. They stay the same tensors from step to step, so that a CUDA graph
            captured with them can be replayed.
    """

    def __init__(self, specs: Mapping[str, TensorSpec], device: torch.device, *, packed: bool | None = None) -> None:
        self._specs = dict(specs)
        self._pinned = device.type == "cuda"
        self._whole: Tensor | None = None
        if self._pinned if packed is None else packed:
            self._whole = torch.zeros(self._layout()[1], dtype=torch.uint8, device=device)
            self.on_device = self._views(self._whole)
        else:
            self.on_device = self._separate(device)
            self._on_host = self.on_device if device.type == "cpu" else self._separate(torch.device("cpu"))

    def _separate(self, device: torch.device) -> Tensors:
        return {name: torch.zeros(spec.shape, dtype=spec.dtype, device=device) for name, spec in self._specs.items()}

    def _layout(self) -> tuple[dict[str, int], int]:
        """Return the offset of each tensor in the packed buffer, and the total size, in bytes."""
        offsets, end = {}, 0
        for name, spec in self._specs.items():
            offsets[name] = end
            end += -(-spec.bytes // ALIGNED) * ALIGNED
        return offsets, end

    def _views(self, whole: Tensor) -> Tensors:
        offsets, _ = self._layout()
        return {
            name: whole[offsets[name] : offsets[name] + spec.bytes].view(spec.dtype).view(spec.shape)
            for name, spec in self._specs.items()
        }

    def host(self) -> Tensors:
        """Return the tensors to fill for the next step.

        Pinned memory is new each time, because that of the last step may still be in transit. torch keeps it until
        the copy is done and then reuses it.
        """
        if self._whole is None:
            return self._on_host
        self._outgoing = torch.empty(len(self._whole), dtype=torch.uint8, pin_memory=self._pinned)
        return self._views(self._outgoing)

    def send(self) -> None:
        """Send the filled tensors to the device. Neither side waits."""
        if self._whole is not None:
            self._whole.copy_(self._outgoing, non_blocking=True)
        elif self._on_host is not self.on_device:
            for name, tensor in self.on_device.items():
                tensor.copy_(self._on_host[name])
