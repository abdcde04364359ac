"""Weights from files, as names and tensors. No code in a file is ever run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facegen.errors import InputError
from facegen.files import OTHER_CONTENTS, Damaged
from facegen.weights.content import read_safetensors


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote (read with ``weights_only``).

    Raises:
        InputError: no such file, a damaged one, or one that holds something else.
    """
    if not path.is_file():
        raise InputError(f"The weights {path} are not a file.")
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)[0]
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # the readers raise whatever they stumble over
        if isinstance(problem, Damaged) and str(problem) == OTHER_CONTENTS:
            raise InputError(f"The weights {path} are damaged: {problem}.", "Copy them again.") from problem
        raise InputError(
            f"{path} is not a file of PyTorch weights ({path.stat().st_size:,} bytes).",
            "If it was downloaded, it may be incomplete or a web page: download it again.",
        ) from problem
    if not isinstance(value, dict) or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise InputError(f"{path} holds no state dict: names and tensors, nothing else.")
    return value
