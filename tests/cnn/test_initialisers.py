"""Spreads against the papers' variances, with as many weights as make the estimate sharp."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from facegen.cnn.initialisers import fans, init_he_, init_normal_, init_truncated_normal_, init_xavier_
from facegen.cnn.layers import ConvNormAct

INITIALISERS = [init_normal_, init_he_, init_xavier_, partial(init_truncated_normal_, std=0.1)]


def drawn(initialise: Callable[[nn.Module], None], layer: nn.Module) -> Tensor:
    """The layer's weight after ``initialise``."""
    torch.manual_seed(0)
    initialise(layer)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    assert abs(weight.mean()) < 0.05 * weight.std()
    return weight.detach()


CONV = partial(nn.Conv2d, 64, 128, 3)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", "in"), ("fan_out", "out")])
def test_he_has_the_deviation_of_torchs_kaiming_normal(mode: str, fan: str) -> None:
    expected = drawn(lambda layer: nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu"), CONV())
    assert drawn(partial(init_he_, fan=fan), CONV()).std().item() == pytest.approx(expected.std().item(), rel=0.02)


def test_xavier_has_the_range_of_torchs_xavier_uniform() -> None:
    expected = drawn(lambda layer: nn.init.xavier_uniform_(layer.weight), CONV())
    weight = drawn(init_xavier_, CONV())
    assert weight.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=1e-3)
    assert weight.std().item() == pytest.approx(expected.std().item(), rel=0.02)


def test_a_truncated_normal_ends_at_two_deviations() -> None:
    weight = drawn(partial(init_truncated_normal_, std=0.1), CONV())
    # A normal cut off at ±2 keeps 0.8796 of its deviation.
    assert weight.std().item() == pytest.approx(0.08796, rel=0.02)
    assert 0.19 < weight.abs().max().item() <= 0.2


def test_he_takes_the_fan_in_of_a_linear_layer() -> None:
    assert drawn(init_he_, nn.Linear(5000, 1)).std().item() == pytest.approx(sqrt(2 / 5000), rel=0.05)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(7, 5), (7, 5)),
        (nn.Conv1d(4, 6, 3), (12, 18)),
        (nn.Conv2d(4, 6, (3, 5)), (60, 90)),
        (nn.Conv2d(4, 6, 3, groups=2), (18, 27)),  # an output sees half of the channels
        (nn.ConvTranspose2d(4, 6, 3), (36, 54)),
    ],
)
def test_fans_by_hand(layer: nn.Linear, expected: tuple[int, int]) -> None:
    assert fans(layer) == expected


@pytest.mark.parametrize("transposed", [False, True])
def test_fan_in_keeps_the_variance_of_relu_activations(transposed: bool) -> None:
    torch.manual_seed(0)
    layers = [ConvNormAct(32, 32, 3, groups=2, norm=None, activation="relu", transposed=transposed) for _ in range(8)]
    network = nn.Sequential(*layers[:-1], layers[-1].conv)
    init_he_(network, fan="in")
    with torch.inference_mode():
        # Away from the border, where zeros are padded: no effect of the eight layers reaches the middle.
        middle = network(torch.randn(4, 32, 24, 24))[:, :, 10:14, 10:14]
    # The first layer's input is not rectified, so its variance is twice what a ReLU would leave.
    assert 1 < middle.var().item() < 4


@pytest.mark.parametrize("initialise", INITIALISERS)
def test_biases_start_at_zero_and_batch_norm_shifts_nothing(initialise: Callable[[nn.Module], None]) -> None:
    network = ConvNormAct(3, 4, bias=True)
    nn.init.ones_(network.norm.bias)
    nn.init.ones_(network.norm.running_mean)
    initialise(network)
    for tensor in (network.conv.bias, network.norm.bias, network.norm.running_mean):
        assert torch.equal(tensor, torch.zeros(4))


@pytest.mark.parametrize("initialise", [init_he_, init_xavier_])
def test_batch_norm_scales_start_at_one(initialise: Callable[[nn.Module], None]) -> None:
    network = ConvNormAct(3, 4)
    nn.init.zeros_(network.norm.weight)
    initialise(network)
    assert torch.equal(network.norm.weight, torch.ones(4))


@pytest.mark.parametrize("initialise", INITIALISERS)
def test_a_weight_under_spectral_norm_is_drawn_anew_too(initialise: Callable[[nn.Module], None]) -> None:
    conv = ConvNormAct(3, 4, weight_norm="spectral").conv
    original = conv.parametrizations.weight.original
    before = original.detach().clone()
    initialise(conv)
    assert not torch.equal(original, before)


@pytest.mark.parametrize("initialise", INITIALISERS)
def test_a_batch_norm_without_parameters_is_left_alone(initialise: Callable[[nn.Module], None]) -> None:
    initialise(nn.BatchNorm2d(3, affine=False))


def test_dcgans_spread_is_the_papers() -> None:
    layer = ConvNormAct(64, 256, 5)
    assert drawn(init_normal_, layer.conv).std().item() == pytest.approx(0.02, rel=0.05)
    torch.manual_seed(0)
    init_normal_(layer)
    scale = layer.norm.weight
    assert abs(scale.mean().item() - 1) < 5e-3 and abs(scale.std().item() - 0.02) < 5e-3
