from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.cnn.initialisers import init_normal_
from facegen.cnn.layers import ConvNormAct, make_norm


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_keeps_the_size_by_default_in_every_dimension(dims: int) -> None:
    layer = ConvNormAct(2, 4, 3, dims=dims)
    assert layer(torch.randn(2, 2, *[8] * dims)).shape == (2, 4, *[8] * dims)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_doubles_the_size(dims: int) -> None:
    layer = ConvNormAct(2, 4, 4, stride=2, padding=1, dims=dims, transposed=True)
    assert layer(torch.randn(2, 2, *[5] * dims)).shape == (2, 4, *[10] * dims)


def test_is_torchs_conv_then_norm_then_relu() -> None:
    layer = ConvNormAct(3, 5, 3, stride=2)
    x = torch.randn(4, 3, 9, 9)
    expected = torch.relu(
        nn.functional.batch_norm(
            nn.functional.conv2d(x, layer.conv.weight, stride=2, padding=1), None, None, training=True
        )
    )
    torch.testing.assert_close(layer(x), expected)


def test_bias_only_where_no_norm_would_subtract_it() -> None:
    assert ConvNormAct(1, 1).conv.bias is None
    assert ConvNormAct(1, 1, norm=None).conv.bias is not None


@pytest.mark.parametrize(
    ("norm", "kind", "groups"),
    [
        ("batch", nn.BatchNorm2d, None),
        ("instance", nn.InstanceNorm2d, None),
        ("layer", nn.GroupNorm, 1),
        ("group", nn.GroupNorm, 32),
    ],
)
def test_norms_by_name(norm: str, kind: type[nn.Module], groups: int | None) -> None:
    layer = make_norm(norm, 64)
    assert isinstance(layer, kind)
    assert getattr(layer, "num_groups", None) == groups


def test_group_norm_takes_fewer_groups_where_32_do_not_divide() -> None:
    layer = make_norm("group", 20)
    assert isinstance(layer, nn.GroupNorm) and layer.num_groups == 20


def test_layer_norm_is_over_channels_and_positions() -> None:
    x = torch.randn(2, 3, 4, 4)
    expected = nn.functional.layer_norm(x, (3, 4, 4))
    layer = make_norm("layer", 3)
    assert layer is not None
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("bad", [{"norm": "bach"}, {"activation": "rellu"}])
def test_unknown_names_are_errors_that_list_the_known(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"unknown .*: (batch, layer|relu, relu6)"):
        ConvNormAct(1, 1, **bad)  # type: ignore[arg-type]


def test_a_norm_and_an_activation_can_be_given_as_constructors() -> None:
    layer = ConvNormAct(1, 6, norm=lambda channels: nn.GroupNorm(2, channels), activation=nn.ELU)
    assert layer.norm.num_groups == 2 and isinstance(layer.act, nn.ELU)


def test_dcgan_initialisation_has_the_papers_spread() -> None:
    torch.manual_seed(0)
    layer = ConvNormAct(64, 256, 5)
    init_normal_(layer)
    weight, scale = layer.conv.weight, layer.norm.weight
    assert abs(weight.mean().item()) < 1e-3 and abs(weight.std().item() - 0.02) < 1e-3
    assert abs(scale.mean().item() - 1) < 5e-3 and abs(scale.std().item() - 0.02) < 5e-3
