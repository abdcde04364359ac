from __future__ import annotations

import pytest
import torch

from facegen.errors import EnvironmentProblem
from facegen.training.distributed import is_writing_process, joined_ranks


@pytest.mark.parametrize("world", ["x", "0", "-1", "1.5"])
def test_a_number_of_ranks_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, world: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(EnvironmentProblem, match=f"WORLD_SIZE is '{world}'"), joined_ranks(torch.device("cpu")):
        pass
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(EnvironmentProblem, match="Unset it"):
        is_writing_process()


def test_ranks_that_nobody_started_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EnvironmentProblem, match=r"cannot join.*unset WORLD_SIZE"), joined_ranks(torch.device("cpu")):
        pass
