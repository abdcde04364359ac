"""Loads weights from a file into a network. Messages use the names in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, tuple[str, Tensor]],
    unused: Callable[[str], bool] = lambda key: False,
) -> None:
    """Load tensors of any floating-point type, as float32, into a network that was built on torch's "meta" device.

    Args:
        network: Its tensors have shapes but no values. Those that are ``unused`` stay so.
        tensors: Maps the network's name of each tensor to (its name in the user's file, its value).
        unused: Returns for a network's name whether the tensor may be missing and is left out.

    Raises:
        ValueError: A tensor is missing, belongs to another network, has another shape or is not finite.
    """
    wanted = {key: value.shape for key, value in network.state_dict().items() if not unused(key)}
    given = {key: named for key, named in tensors.items() if not unused(key)}
    if missing := sorted(wanted.keys() - given.keys()):
        raise ValueError(f"{len(missing)} of its {len(wanted)} tensors are missing, the first is {missing[0]!r}")
    if unknown := sorted(given[key][0] for key in given.keys() - wanted.keys()):
        raise ValueError(f"it has {len(unknown)} tensors of another network, the first is {unknown[0]!r}")
    for key, shape in wanted.items():
        name, value = given[key]
        if value.shape != shape:
            raise ValueError(f"{name!r} is {list(value.shape)} and should be {list(shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name!r} holds NaN or infinity")
    network.load_state_dict({key: value.float() for key, (_, value) in given.items()}, strict=False, assign=True)
