"""The buffer in which the host hands the device a step's inputs: filled anew each time, read at the same address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

#: Where tensors begin in a shared buffer, in bytes: compilers take their inputs to be aligned.
ALIGNED = 64

Tensors = dict[str, Tensor]


class TensorSpec(NamedTuple):
    """The shape and dtype of a tensor that is handed over."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def bytes(self) -> int:
        return self.dtype.itemsize * torch.Size(self.shape).numel()


class StagingBuffer:
    """Tensors that are written on the host and read on the device.

    To a CUDA device all of them travel in one copy, from pinned memory: a copy of its own for each costs more than the
    bytes do. On a CPU the host writes where the step reads.

    Args:
        specs: of each tensor, by name.
        packed: lay them out in one buffer; by default, for CUDA devices.

    Attributes:
        on_device: the tensors that the step reads. They are the same ones from step to step, so that a graph captured
            with them can be replayed.
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
        """Where each tensor begins, and the bytes of all."""
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
        """The tensors to fill for the next step.

        Pinned memory is fresh each time: the last step's may be on its way still. torch keeps it until the copy is
        done, and then gives it out again.
        """
        if self._whole is None:
            return self._on_host
        self._outgoing = torch.empty(len(self._whole), dtype=torch.uint8, pin_memory=self._pinned)
        return self._views(self._outgoing)

    def send(self) -> None:
        """Hand over what was filled. Nothing waits for it, on either side."""
        if self._whole is not None:
            self._whole.copy_(self._outgoing, non_blocking=True)
        elif self._on_host is not self.on_device:
            for name, tensor in self.on_device.items():
                tensor.copy_(self._on_host[name])
