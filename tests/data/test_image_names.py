"""Which names are images, and in what order they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.data.image_names import is_image_name, natural_key


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=8))
@settings(deadline=None, max_examples=50, derandomize=True)
def test_numbers_in_names_sort_as_numbers(numbers: list[int]) -> None:
    names = [f"face {number}.png" for number in numbers]
    assert sorted(names, key=natural_key) == [f"face {number}.png" for number in sorted(numbers)]


def test_zeros_before_a_number_do_not_count() -> None:
    assert sorted(["10.png", "009.png", "0.png", "9" * 5000], key=natural_key)[:3] == ["0.png", "009.png", "10.png"]


@given(st.lists(st.text(max_size=12), max_size=8))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_any_names_sort_the_same_from_any_order(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@pytest.mark.parametrize("name", ["a.jpg", "A.JPEG", "b/c.png", "x.WebP", "x.tiff", "x.bmp", "x.gif", "x.ppm"])
def test_image_names(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["a", "a.txt", ".jpg", "a.eps", "a.pdf", "a.mpg", ".git/a.png", "jpg", "a.jpg/notes"])
def test_other_names(name: str) -> None:
    assert not is_image_name(name)
