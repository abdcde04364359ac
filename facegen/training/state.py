"""The state of training as a whole: saved, loaded, and restored after a trial run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

#: By name: networks, optimizers and float16's scalers.
Parts = Mapping[str, nn.Module | torch.optim.Optimizer | torch.amp.GradScaler]


def state_of(parts: Parts) -> dict[str, Any]:
    """Everything a resumed run needs: tensors, numbers and strings only, so ``weights_only=True`` loads it."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            groups = state[name]["param_groups"]
            state[name]["param_groups"] = [{**group, "lr": float(group["lr"])} for group in groups]
    return state


def load_state(parts: Parts, state: Mapping[str, Any]) -> None:
    """Go on from what :func:`state_of` gave."""
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            _load_optimizer(part, state[name])
        elif state[name] or isinstance(part, nn.Module):  # a scaler that was not in use has nothing to go on from
            part.load_state_dict(state[name])


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on with its saved tensors. Rates, and how it computes, are the recipe's and this device's."""
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    groups = [{**mine, "params": saved["params"]} for mine, saved in zip(own, state["param_groups"], strict=True)]
    # Copies: torch would go on in the very tensors that it is given, and what they are of may be loaded once more.
    optimizer.load_state_dict({"state": copy.deepcopy(state["state"]), "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for key, tensor in moments.items():
            # In the parameter's layout, which was another where the checkpoint is from: fused Adam goes through the
            # memory of both side by side.
            if tensor.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter).copy_(tensor)
    for group, mine in zip(optimizer.param_groups, own, strict=True):
        group.update(mine)  # of which torch took copies: a rate must be the very tensor that each step finds changed


@contextmanager
def restored_afterwards(parts: Parts) -> Iterator[None]:
    """Whatever the block does, the parts' state is restored after it, each tensor at its address in memory."""
    # Detached: a copy with a gradient keeps a node of autograd for each parameter, of the stream that it was made on,
    # and a graph of CUDA that is captured on another one meanwhile is broken off by it.
    before = {id(tensor): (tensor, tensor.detach().clone()) for tensor in _tensors(parts)}
    yield
    with torch.no_grad():
        for tensor in _tensors(parts):
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)][1])
            else:
                tensor.zero_()  # an optimizer's, which makes its tensors in its first step, of zeros
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
            assert scale is not None and growth is not None, "made before the first step"
            yield from (scale, growth)
