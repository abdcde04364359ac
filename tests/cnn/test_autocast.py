from __future__ import annotations

import torch

from facegen.cnn.autocast import without_autocast


def test_a_callers_autocast_does_not_reach_in() -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast(x.device):
            inside = x @ x
        assert (inside.dtype, (x @ x).dtype) == (torch.float32, torch.bfloat16)
