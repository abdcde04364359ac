"""Builds a network by name and loads weights from a file, with the tensor names of several projects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from facegen.cnn.architecture import Architecture
from facegen.errors import InputError
from facegen.weights.state_dicts import read_state_dict


def network_from_file(architecture: Architecture, options: Mapping[str, int], path: Path) -> nn.Module:
    """Build a network in eval mode with the weights of ``path``. The number of classes is that of the weights.

    Args:
        options: Options of the architecture.
        path: A state dict in ``.safetensors`` or written by ``torch.save``, with facegen's or torchvision's names.
            Auxiliary classifiers, which are for training only, are ignored.

    Raises:
        InputError: The file cannot be read, or does not fit the network.
        ValueError: The architecture cannot be built with these options.
    """
    state_dict = architecture.convert(read_state_dict(path))
    state_dict = {key: tensor for key, tensor in state_dict.items() if not key.lower().startswith("aux")}
    with torch.device("meta"):
        network = architecture.build(**options)
        last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1:]
        if last and f"{last[0]}.weight" in state_dict:
            network = architecture.build(**{**options, "classes": len(state_dict[f"{last[0]}.weight"])})
    for name, tensor in state_dict.items():
        if not tensor.float().isfinite().all():
            raise InputError(f"The weights {path} cannot be used: {name} holds NaN or infinity.", "Name another file.")
    try:
        network.load_state_dict(state_dict, assign=True)
    except RuntimeError as problem:
        reason = " ".join(str(problem).splitlines()[1:2]).strip().rstrip(".")
        raise InputError(
            f"{path} does not fit {architecture.name}: {reason[:200]}.",
            "Name a state dict with facegen's names or torchvision's.",
        ) from problem
    return network.eval()
