from __future__ import annotations

from itertools import product

import pytest
import torch

from facegen.cnn.pooling import GlobalPool, make_adaptive_pool, make_dropout, make_pool
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


@pytest.mark.parametrize(("kind", "expected"), [("max", [5, 9]), ("average", [8 / 3, 5])])
def test_adaptive_windows_overlap_where_they_must(kind: str, expected: list[float]) -> None:
    # Of five positions, two windows are 0–2 and 2–4.
    assert make_adaptive_pool(kind, 2, dims=1)(X)[0, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "dims"), [*product(["max", "average"], DIMS)])
def test_adaptive_pools_to_the_size_wanted(kind: str, dims: int) -> None:
    assert make_adaptive_pool(kind, 3, dims=dims)(torch.randn(2, 4, *[7] * dims)).shape == (2, 4, *[3] * dims)


@pytest.mark.parametrize(("kind", "expected"), [("max", 9), ("average", 4.2)])
def test_global_pool_by_hand(kind: str, expected: float) -> None:
    assert GlobalPool(kind)(X).tolist() == [[pytest.approx(expected)]]


@pytest.mark.parametrize(("kind", "dims"), [*product(["max", "average"], DIMS)])
def test_global_pool_is_the_adaptive_pool_to_one_position(kind: str, dims: int) -> None:
    x = torch.randn(2, 3, *[4] * dims)
    torch.testing.assert_close(GlobalPool(kind)(x), make_adaptive_pool(kind, 1, dims=dims)(x).flatten(1))


@pytest.mark.parametrize(
    "make", [lambda kind: make_pool(kind, 2), lambda kind: make_adaptive_pool(kind, 1), GlobalPool]
)
def test_unknown_kinds_are_errors_that_list_the_known(make: type) -> None:
    with pytest.raises(ValueError, match="unknown pooling 'mean': max or average"):
        make("mean")


class TestDropout:
    @pytest.mark.parametrize(("spatial", "dims"), [*product([False, True], DIMS)])
    def test_drops_with_the_probability_and_scales_the_rest_up(self, spatial: bool, dims: int) -> None:
        torch.manual_seed(0)
        y = make_dropout(0.2, spatial=spatial, dims=dims)(torch.ones(100, 100, *[2] * dims))
        assert set(y.unique().tolist()) == {0, 1.25}
        assert (y == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)

    @pytest.mark.parametrize("dims", DIMS)
    def test_spatial_drops_whole_channels(self, dims: int) -> None:
        torch.manual_seed(0)
        y = make_dropout(0.5, spatial=True, dims=dims)(torch.ones(8, 16, *[3] * dims)).flatten(2)
        assert torch.equal(y.amin(2), y.amax(2)) and y.unique().tolist() == [0, 2]

    def test_single_activations_are_dropped_apart(self) -> None:
        torch.manual_seed(0)
        y = make_dropout(0.5)(torch.ones(8, 16, 9))
        assert not torch.equal(y.amin(2), y.amax(2))

    @pytest.mark.parametrize("spatial", [False, True])
    def test_does_nothing_in_eval_mode(self, spatial: bool) -> None:
        x = torch.randn(2, 3, 4, 4)
        assert torch.equal(make_dropout(0.5, spatial=spatial).eval()(x), x)
