from __future__ import annotations

from itertools import product
from math import erf, exp, sqrt, tanh

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from facegen.cnn.layers import (
    ACTIVATIONS,
    Concat,
    ConvNormAct,
    make_activation,
    make_norm,
    normalise_weight,
    normalise_weights,
)

DIMS = [1, 2, 3]


class TestConvNormAct:
    @pytest.mark.parametrize(("dims", "transposed"), [*product(DIMS, [False, True])])
    def test_keeps_the_size_by_default(self, dims: int, transposed: bool) -> None:
        layer = ConvNormAct(2, 4, 3, dims=dims, transposed=transposed)
        assert layer(torch.randn(2, 2, *[8] * dims)).shape == (2, 4, *[8] * dims)

    @pytest.mark.parametrize("dims", DIMS)
    def test_transposed_doubles_the_size(self, dims: int) -> None:
        layer = ConvNormAct(2, 4, 4, stride=2, padding=1, dims=dims, transposed=True)
        assert layer(torch.randn(2, 2, *[5] * dims)).shape == (2, 4, *[10] * dims)

    def test_keeps_the_size_for_a_kernel_of_its_own_in_each_dimension(self) -> None:
        assert ConvNormAct(1, 1, (1, 7))(torch.randn(2, 1, 9, 9)).shape == (2, 1, 9, 9)

    @pytest.mark.parametrize(
        ("norm", "dims", "transposed"),
        [*product(["batch", "layer", "instance", "group", None], DIMS, [False, True])],
    )
    def test_every_norm_in_every_dimension(self, norm: str | None, dims: int, transposed: bool) -> None:
        layer = ConvNormAct(2, 4, stride=2, norm=norm, dims=dims, transposed=transposed)
        assert layer(torch.randn(2, 2, *[4] * dims)).shape[:2] == (2, 4)
        assert hasattr(layer, "norm") == (norm is not None)

    def test_is_torchs_conv_then_norm_then_relu(self) -> None:
        layer = ConvNormAct(3, 5, 3, stride=2)
        x = torch.randn(4, 3, 9, 9)
        y = nn.functional.conv2d(x, layer.conv.weight, stride=2, padding=1)
        torch.testing.assert_close(layer(x), nn.functional.batch_norm(y, None, None, training=True).relu())

    @pytest.mark.parametrize(("norm", "bias"), [("batch", False), ("instance", False), (None, True)])
    def test_bias_only_where_no_norm_would_subtract_it(self, norm: str | None, bias: bool) -> None:
        assert (ConvNormAct(1, 1, norm=norm).conv.bias is not None) == bias

    def test_norm_and_activation_can_be_given_as_constructors(self) -> None:
        layer = ConvNormAct(1, 6, norm=lambda channels: nn.GroupNorm(2, channels), activation=nn.ELU)
        assert layer.norm.num_groups == 2 and isinstance(layer.act, nn.ELU)

    @pytest.mark.parametrize("bad", [{"norm": "bach"}, {"activation": "rellu"}])
    def test_unknown_names_are_errors_that_list_the_known(self, bad: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"unknown .*: (batch, layer|relu, relu6)"):
            ConvNormAct(1, 1, **bad)  # type: ignore[arg-type]


def test_concat_joins_its_branches_along_the_channels_in_order() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(Concat(nn.Identity(), nn.Tanh())(x), torch.cat([x, x.tanh()], 1))


class TestNorms:
    @pytest.mark.parametrize(
        ("norm", "axes", "dims"),
        # Axes of [B, 2, C/2, ...] that a mean and a variance are taken over: Wu and He, arXiv:1803.08494, figure 2.
        [
            (norm, axes, dims)
            for norm, axes in {"batch": {0}, "layer": {1, 2}, "instance": set(), "group of 2": {2}}.items()
            for dims in DIMS
        ],
    )
    def test_mean_0_and_variance_1_over_their_axes(self, norm: str, axes: set[int], dims: int) -> None:
        x = 3 + 2 * torch.randn(4, 6, *[5] * dims, dtype=torch.float64)
        layer = make_norm((lambda channels: nn.GroupNorm(2, channels)) if norm == "group of 2" else norm, 6, dims)
        assert layer is not None
        split = x.unflatten(1, (2, 3))
        over = (*axes, *range(3, 3 + dims))
        mean, variance = split.mean(over, keepdim=True), split.var(over, correction=0, keepdim=True)
        expected = ((split - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        torch.testing.assert_close(layer.double()(x), expected)

    @pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 24), (20, 20), (33, 11), (1, 1)])
    def test_group_norm_has_32_groups_or_the_most_that_divide(self, channels: int, groups: int) -> None:
        layer = make_norm("group", channels)
        assert isinstance(layer, nn.GroupNorm) and layer.num_groups == groups

    @pytest.mark.parametrize(("norm", "values"), [("batch", 2), ("layer", 2), ("instance", 2), ("group", 2)])
    def test_each_learns_a_scale_and_a_shift_of_every_channel(self, norm: str, values: int) -> None:
        layer = make_norm(norm, 6)
        assert layer is not None
        assert [parameter.shape for parameter in layer.parameters()] == [(6,)] * values


class TestBatchNorm:
    #: One channel of four values: mean 4, sum of squares about it 20, so 5 as a variance and 20/3 unbiased.
    X = torch.tensor([1.0, 3.0, 5.0, 7.0]).reshape(2, 1, 2)

    @pytest.fixture
    def layer(self) -> nn.Module:
        layer = make_norm("batch", 1, dims=1)
        assert layer is not None
        return layer

    def test_in_training_normalises_with_the_batchs_own_statistics(self, layer: nn.Module) -> None:
        torch.testing.assert_close(layer(self.X).flatten(), (torch.tensor([-3.0, -1.0, 1.0, 3.0])) / sqrt(5 + 1e-5))

    def test_running_statistics_move_by_a_tenth_with_the_unbiased_variance(self, layer: nn.Module) -> None:
        layer(self.X)
        torch.testing.assert_close(layer.running_mean, torch.tensor([0.1 * 4]))
        torch.testing.assert_close(layer.running_var, torch.tensor([0.9 * 1 + 0.1 * 20 / 3]))

    def test_in_testing_normalises_with_the_running_statistics_and_keeps_them(self, layer: nn.Module) -> None:
        layer(self.X)
        layer.eval()
        expected = (self.X - 0.4) / sqrt(0.9 + 2 / 3 + 1e-5)
        torch.testing.assert_close(layer(self.X), expected)
        torch.testing.assert_close(layer(self.X), expected)

    def test_in_testing_one_image_does_not_depend_on_the_others(self, layer: nn.Module) -> None:
        layer.eval()
        assert torch.equal(layer(self.X)[:1], layer(self.X[:1]))


@pytest.mark.parametrize(("dims", "transposed"), [*product(DIMS, [False, True])])
def test_spectral_norm_leaves_a_largest_singular_value_of_1(dims: int, transposed: bool) -> None:
    torch.manual_seed(0)
    conv = ConvNormAct(3, 5, norm=None, weight_norm="spectral", dims=dims, transposed=transposed).conv
    for _ in range(200):  # one power iteration each
        conv.weight  # noqa: B018
    weight: Tensor = conv.eval().weight
    # Miyato et al., arXiv:1802.05957, section 2.1: a row for each output channel, which transposed weights have second.
    matrix = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-4)


def test_an_unknown_weight_norm_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown weight norm 'batch': spectral or None"):
        normalise_weight(nn.Linear(1, 1), "batch")


def test_a_whole_networks_matrices_are_normalised_once() -> None:
    scale = nn.Conv2d(4, 4, 1, groups=4)  # a number for each channel
    network = nn.Sequential(ConvNormAct(3, 4, weight_norm="spectral"), scale, nn.Flatten(), nn.Linear(4, 2))
    normalise_weights(network, "spectral")
    normalised = {name for name, layer in network.named_modules() if is_parametrized(layer, "weight")}
    assert normalised == {"0.conv", "3"}
    assert len(network[0].conv.parametrizations.weight) == 1


class TestActivations:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("relu", [0, 0.5, 8]),
            ("relu6", [0, 0.5, 6]),
            ("leaky_relu", [-0.4, 0.5, 8]),
            ("elu", [exp(-2) - 1, 0.5, 8]),
            ("tanh", [tanh(-2), tanh(0.5), tanh(8)]),
            ("sigmoid", [1 / (1 + exp(2)), 1 / (1 + exp(-0.5)), 1 / (1 + exp(-8))]),
            ("silu", [-2 / (1 + exp(2)), 0.5 / (1 + exp(-0.5)), 8 / (1 + exp(-8))]),
            ("gelu", [x * (1 + erf(x / sqrt(2))) / 2 for x in (-2, 0.5, 8)]),
        ],
    )
    def test_by_name_are_the_functions_at_three_points(self, name: str, expected: list[float]) -> None:
        layer = make_activation(name)
        assert layer is not None
        assert layer(torch.tensor([-2, 0.5, 8])).tolist() == pytest.approx(expected, rel=1e-5)

    def test_none_is_left_out(self) -> None:
        assert make_activation(None) is None

    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_each_is_new_so_that_hooks_tell_them_apart(self, name: str) -> None:
        assert make_activation(name) is not make_activation(name)
