"""The whole state of training: saved, loaded, and restored after a trial run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

#: The parts of a trainer that have a state, by name: networks, optimizers and the gradient scalers of float16.
Parts = Mapping[str, nn.Module | torch.optim.Optimizer | torch.amp.GradScaler]


def state_of(parts: Parts) -> dict[str, Any]:
    """Return everything that a resumed run needs.

    It consists of tensors, numbers and strings only, so that ``torch.load`` reads it with ``weights_only=True``.
    """
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            groups = state[name]["param_groups"]
            state[name]["param_groups"] = [{**group, "lr": float(group["lr"])} for group in groups]
    return state


def load_state(parts: Parts, state: Mapping[str, Any]) -> None:
    """Load a state that :func:`state_of` returned."""
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            _load_optimizer(part, state[name])
        elif state[name] or isinstance(part, nn.Module):  # The state of an unused gradient scaler is empty.
            part.load_state_dict(state[name])


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's saved tensors.

    Its learning rates and its implementation stay those of this recipe and device.
    """
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    groups = [{**mine, "params": saved["params"]} for mine, saved in zip(own, state["param_groups"], strict=True)]
    # Copy the state. torch would otherwise use the given tensors themselves, and the same state may be loaded again.
    optimizer.load_state_dict({"state": copy.deepcopy(state["state"]), "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for key, tensor in moments.items():
            # Use the memory layout of the parameter. The checkpoint may have another one, and fused Adam reads the
            # memory of a parameter and of its moments in parallel.
            if tensor.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter).copy_(tensor)
    for group, mine in zip(optimizer.param_groups, own, strict=True):
        group.update(mine)  # torch has copied these. A rate must be the very tensor whose value changes between steps.


@contextmanager
def restored_afterwards(parts: Parts) -> Iterator[None]:
    """Restore the parts' state after the block, each tensor at its address in memory."""
    # The copies are detached. A copy with a gradient would keep an autograd node for each parameter, tied to the stream
    # on which it was made. Such a node breaks the capture of a CUDA graph on another stream.
    before = {id(tensor): (tensor, tensor.detach().clone()) for tensor in _tensors(parts)}
    yield
    with torch.no_grad():
        for tensor in _tensors(parts):
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)][1])
            else:
                tensor.zero_()  # An optimizer made this tensor in its first step, of zeros.
    for part in parts.values():
        if isinstance(part, torch.optim.Optimizer):
            part.zero_grad(set_to_none=True)


def _tensors(parts: Parts) -> Iterator[Tensor]:
    for part in parts.values():
        if isinstance(part, nn.Module):
            yield from chain(part.parameters(), part.buffers())
        elif isinstance(part, torch.optim.Optimizer):
            yield from (each for state in part.state.values() for each in state.values())
        elif part.is_enabled():
            scale, growth = part._scale, part._growth_tracker
            assert scale is not None and growth is not None, "the scaler has made them before the first step"
            yield from (scale, growth)
