"""Arithmetic in the tensors' own dtype, even inside a caller's autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Disable a caller's autocast for operations on ``device`` within the block."""
    return torch.autocast(device.type, enabled=False)
