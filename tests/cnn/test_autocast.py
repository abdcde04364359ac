from __future__ import annotations

import pytest
import torch

from facegen.cnn.autocast import without_autocast


def test_a_callers_autocast_does_not_reach_in() -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast(x.device):
            inside = x @ x
        assert (inside.dtype, (x @ x).dtype) == (torch.float32, torch.bfloat16)


def test_an_apple_gpu_without_autocast_has_none_to_turn_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of torch 2.4, which raises."""

    def refuse(device_type: str, **_: object) -> None:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")

    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device_type: device_type != "mps")
    monkeypatch.setattr(torch, "autocast", refuse)
    with without_autocast(torch.device("mps")):
        pass
