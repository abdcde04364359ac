from __future__ import annotations

from itertools import product

import pytest
import torch

from facegen.cnn.pooling import GlobalPool, make_pool
from facegen.cnn.shapes import output_shape

DIMS = [1, 2, 3]
X = torch.tensor([[[1.0, 5.0, 2.0, 4.0, 9.0]]])


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("max", {}, [5, 4]),
        ("average", {}, [3, 3]),
        ("max", {"stride": 1}, [5, 5, 4, 9]),
        ("average", {"stride": 1}, [3, 3.5, 3, 6.5]),
        ("max", {"ceil_mode": True}, [5, 4, 9]),
        ("average", {"ceil_mode": True}, [3, 3, 9]),  # what sticks out is not padding: it does not count
        ("max", {"padding": 1}, [1, 5, 9]),
        ("average", {"padding": 1}, [0.5, 3.5, 6.5]),  # padding counts as zeros
    ],
)
def test_windows_of_two_by_hand(kind: str, options: dict[str, int], expected: list[float]) -> None:
    assert make_pool(kind, 2, dims=1, **options)(X)[0, 0].tolist() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "dims", "ceil_mode"), [*product(["max", "average"], DIMS, [False, True])])
def test_size_is_the_formulas_in_every_dimension(kind: str, dims: int, ceil_mode: bool) -> None:
    pool = make_pool(kind, 3, stride=2, padding=1, ceil_mode=ceil_mode, dims=dims)
    shape = (4, 5, 8)[:dims]
    expected = output_shape(shape, 3, stride=2, padding=1, ceil_mode=ceil_mode)
    assert pool(torch.randn(2, 3, *shape)).shape == (2, 3, *expected)


@pytest.mark.parametrize(("kind", "expected"), [("max", 9), ("average", 4.2)])
def test_global_pool_by_hand(kind: str, expected: float) -> None:
    assert GlobalPool(kind)(X).tolist() == [[pytest.approx(expected)]]


@pytest.mark.parametrize(("kind", "dims"), [*product(["max", "average"], DIMS)])
def test_global_pool_is_one_window_as_large_as_the_input(kind: str, dims: int) -> None:
    x = torch.randn(2, 3, *[4] * dims)
    torch.testing.assert_close(GlobalPool(kind)(x), make_pool(kind, 4, dims=dims)(x).flatten(1))


@pytest.mark.parametrize("make", [lambda kind: make_pool(kind, 2), GlobalPool])
def test_unknown_kinds_are_errors_that_list_the_known(make: type) -> None:
    with pytest.raises(ValueError, match="unknown pooling 'mean': max or average"):
        make("mean")
