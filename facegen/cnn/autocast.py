"""Arithmetic in the dtype that tensors have, whatever surrounds it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block in which a caller's autocast does not reach the operations on ``device``."""
    return torch.autocast(device.type, enabled=False)
