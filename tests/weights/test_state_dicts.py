from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegen.errors import InputError
from facegen.weights.content import write_safetensors
from facegen.weights.state_dicts import read_state_dict

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3)}


def test_both_formats_give_names_and_tensors(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.pth")
    save_file(TENSORS, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        (key, tensor), *rest = read_state_dict(tmp_path / name).items()
        assert key == "a.weight" and torch.equal(tensor, TENSORS[key]) and not rest


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html></html>")
    with pytest.raises(InputError, match=rf"{name} is not a file of PyTorch weights \(13 bytes\)"):
        read_state_dict(tmp_path / name)


def test_a_generator_that_changed_is_damaged(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", TENSORS, {})
    data = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=r"x\.safetensors are damaged: its contents do not match"):
        read_state_dict(tmp_path / "x.safetensors")
