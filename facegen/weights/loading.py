"""A network by name with the weights of a file in it, whichever project's names they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from facegen.cnn.architecture import Architecture
from facegen.errors import InputError
from facegen.weights.state_dicts import read_state_dict


def network_from_file(architecture: Architecture, options: Mapping[str, int], path: Path) -> nn.Module:
    """The network in eval mode with the weights of ``path``, whose classes it takes over.

    Args:
        options: what the architecture is built with.
        path: a state dict, ``.safetensors`` or by ``torch.save``, with facegen's names or torchvision's. Auxiliary
            classifiers, which serve training alone, are left out.

    Raises:
        InputError: the file cannot be read, or does not fit the network.
        ValueError: the architecture cannot be built like that.
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
            raise InputError(f"The weights {path} are of no use: {name} holds NaN or infinity.", "Take others.")
    try:
        network.load_state_dict(state_dict, assign=True)
    except RuntimeError as problem:
        reason = " ".join(str(problem).splitlines()[1:2]).strip().rstrip(".")
        raise InputError(
            f"{path} does not fit {architecture.name}: {reason[:200]}.",
            "Name a state dict with facegen's names or torchvision's.",
        ) from problem
    return network.eval()
