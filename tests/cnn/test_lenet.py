"""LeNet-5 against the figures of the paper (LeCun et al. 1998) and against plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from facegen.cnn.lenet import CONNECTIONS, LeNet5, ScaledTanh, Subsampling, connections

#: The paper's table I as printed: a row for each map of S2, a column for each of C3.
TABLE_I = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_course_form_has_61706_parameters() -> None:
    assert parameters(LeNet5()) == 61_706


def test_the_papers_form_has_its_published_parameters_layer_by_layer() -> None:
    network = LeNet5(original=True)
    layers = {**dict(network.features.named_children()), **dict(network.classifier.named_children())}
    published = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: parameters(layers[name]) for name in published} == published
    assert sum(published.values()) == 60_000


@pytest.mark.parametrize("original", [False, True])
def test_maps_are_as_large_as_in_figure_2(original: bool) -> None:
    x, shapes = torch.zeros(1, 1, 32, 32), []
    for layer in LeNet5(original=original).features:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]


def test_c3_is_connected_as_in_table_i() -> None:
    c3 = LeNet5(original=True).features.c3
    for channel, row in enumerate(TABLE_I):
        maps = torch.zeros(1, 6, 14, 14)
        maps[:, channel] = torch.randn(14, 14)
        with torch.inference_mode():
            reached = (c3(maps) != c3(torch.zeros_like(maps))).any(-1).any(-1)[0]
        assert "".join("X" if seen else "." for seen in reached) == row


@pytest.mark.parametrize("width", [3, 4, 8, 12])
def test_every_map_of_c3_is_connected_at_other_widths(width: int) -> None:
    assert all(connections(width, 40))


def test_twice_the_width_connects_pairs_of_maps() -> None:
    assert next(connections(12, 1)) == [0, 1, 2, 3, 4, 5]
    assert len(CONNECTIONS) == len(list(connections(6, 16)))


def test_two_maps_cannot_be_connected_by_table_i() -> None:
    with pytest.raises(ValueError, match="at least 3, not 2"):
        LeNet5(original=True, width=2)


def test_the_course_form_equals_plain_torch(copy_in_order: Callable[[nn.Module, nn.Module], None]) -> None:
    plain = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    network, x = LeNet5(), torch.randn(2, 1, 32, 32)
    copy_in_order(plain, network)
    torch.testing.assert_close(network(x), plain(x))


def test_subsampling_by_hand() -> None:
    layer = Subsampling(2, None)
    with torch.no_grad():
        layer.scale.conv.weight.copy_(torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1))
        layer.scale.conv.bias.copy_(torch.tensor([0.0, 0.5]))
        x = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).expand(1, 2, 2, 2)
        assert layer(x).flatten().tolist() == [3.0, -5.5]


def test_the_squashing_function_keeps_plus_and_minus_one() -> None:
    # Appendix A: f(1) = 1 and f(−1) = −1, and the asymptote is A = 1.7159.
    x = torch.tensor([-1.0, 1.0, 100.0])
    assert ScaledTanh()(x).tolist() == pytest.approx([-1, 1, 1.7159], abs=1e-4)


def test_c5_sees_all_of_s4_for_mnists_own_28_pixels() -> None:
    assert LeNet5(size=28).features(torch.zeros(1, 1, 28, 28)).shape == (1, 16, 5, 5)
