"""Arithmetic in the dtype that tensors have, whatever surrounds it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block in which a caller's autocast does not reach the operations on ``device``."""
    # torch 2.4 has no autocast on Apple GPUs, and refuses to switch it off.
    if device.type == "mps" and not torch.amp.is_autocast_available("mps"):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
