from __future__ import annotations

import pytest
import torch
from scipy.signal import correlate2d
from torch import Tensor

from facegen.cnn.registry import find_architecture


def filtered(name: str, image: Tensor) -> Tensor:
    """[H, W] → [H, W], by the one-channel network."""
    maps: Tensor = find_architecture(name).build(in_channels=1)(image[None, None])
    return maps[0, 0]


@pytest.fixture
def step() -> Tensor:
    """Dark to the left of column 4, bright from there on."""
    image = torch.zeros(6, 8)
    image[:, 4:] = 1
    return image


def test_the_blur_of_a_constant_is_the_constant() -> None:
    torch.testing.assert_close(filtered("blur", torch.full((6, 8), 0.7)), torch.full((6, 8), 0.7))


def test_a_vertical_step_is_a_vertical_edge_and_nothing_else(step: Tensor) -> None:
    expected = torch.zeros(6, 8)
    expected[:, 3:5] = 3  # both columns beside the step see it, over three rows
    assert torch.equal(filtered("vertical_edge", step), expected)
    assert not filtered("horizontal_edge", step).any()


def test_a_horizontal_edge_is_a_vertical_one_on_its_side(step: Tensor) -> None:
    assert torch.equal(filtered("horizontal_edge", step.T), filtered("vertical_edge", step).T)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("blur", [[1 / 25] * 5] * 5),
        ("vertical_edge", [[-1, 0, 1]] * 3),
        ("horizontal_edge", [[-1] * 3, [0] * 3, [1] * 3]),
    ],
)
def test_inside_it_is_scipys_correlation(name: str, kernel: list[list[float]]) -> None:
    torch.manual_seed(0)
    image, border = torch.rand(9, 11), len(kernel) // 2
    expected = torch.from_numpy(correlate2d(image.double().numpy(), kernel, mode="valid")).float()
    torch.testing.assert_close(filtered(name, image)[border:-border, border:-border], expected)


def test_colours_are_blurred_each_by_itself_and_edges_are_of_their_mean() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 9, 9)
    blur, edge = (find_architecture(name).build()(image) for name in ("blur", "vertical_edge"))
    torch.testing.assert_close(blur[0, 1], filtered("blur", image[0, 1]))
    torch.testing.assert_close(edge[0, 0], filtered("vertical_edge", image[0].mean(0)))
