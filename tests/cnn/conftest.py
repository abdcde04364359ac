"""What the tests of layers, blocks and networks share. Each fixture is a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from facegen.cnn.architecture import Architecture
from facegen.cnn.registry import find_architecture

Randomise = Callable[[nn.Module], nn.Module]


def _randomise(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.1)
    return module.eval()


@pytest.fixture
def randomise() -> Randomise:
    """Gives every BatchNorm statistics and an affine map as training would leave them; returns it in eval mode."""
    return _randomise


@pytest.fixture(scope="session")
def build_small() -> Callable[..., tuple[nn.Module, tuple[int, ...]]]:
    """``build_small(architecture, **options)``: its network as narrow as it comes, and the shape of small inputs."""

    def build(architecture: Architecture, **options: object) -> tuple[nn.Module, tuple[int, ...]]:
        taken = inspect.signature(architecture.build).parameters
        least = {option: value for option, value in {"width": 8, "size": 32}.items() if option in taken}
        channels, *positions = architecture.input
        if "size" in least and positions:
            channels, positions = int(options.get("in_channels", channels)), [*positions[:-2], 32, 32]  # type: ignore[call-overload]
        return architecture.build(**least, **options), (channels, *positions)

    return build


@pytest.fixture
def copy_in_order() -> Callable[[nn.Module, nn.Module], None]:
    """Gives ``target`` the weights of ``source``, whose tensors come in the same order and shapes."""

    def copy(source: nn.Module, target: nn.Module) -> None:
        ours, theirs = target.state_dict(), list(source.state_dict().values())
        assert [tensor.shape for tensor in ours.values()] == [tensor.shape for tensor in theirs]
        target.load_state_dict(dict(zip(ours, theirs, strict=True)))

    return copy


@pytest.fixture
def largest_difference() -> Callable[..., float]:
    """Loads another project's network with random weights into an architecture and compares what they answer.

    ``largest_difference(name, theirs, x, **options)``: the state dict must load with every key matched, and the
    result is the largest difference of a logit, relative to the largest logit.
    """

    def compare(name: str, theirs: nn.Module, x: Tensor, **options: object) -> float:
        architecture = find_architecture(name)
        with torch.device("meta"):  # it needs no weights of its own
            ours = architecture.build(**options)
        ours.load_state_dict(architecture.convert(_randomise(theirs).state_dict()), assign=True)
        with torch.inference_mode():
            expected, got = theirs(x), ours.eval()(x)
        assert got.shape == expected.shape and expected.std() > 0
        return ((got - expected).abs().max() / expected.abs().max()).item()

    return compare
