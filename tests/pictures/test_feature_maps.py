from __future__ import annotations

import numpy as np

from facegen.pictures.contact_sheet import figure
from facegen.pictures.feature_maps import enlarge, filter_sheet, map_sheet, signed


def test_signs_are_colours() -> None:
    pixels = signed(np.array([-2.0, -1.0, 0.0, 2.0], np.float32), 2.0)
    assert pixels.tolist() == [[0, 0, 255], [128, 128, 255], [255, 255, 255], [255, 0, 0]]


def test_a_map_of_zeros_is_black_and_others_span_the_range() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1, :2] = -3
    sheet, shown = map_sheet(maps, 8)
    assert shown.startswith("2 maps of 4x4")
    assert sheet[2:6, 2:6].max() == 0
    assert (sheet[2, 8].tolist(), sheet[5, 8].tolist()) == ([0] * 3, [255] * 3)


def test_no_more_than_64_are_drawn_and_it_is_said() -> None:
    _, shown = map_sheet(np.zeros((65, 2, 2), np.float32), 16)
    assert shown.startswith("the first 64 of 65 maps")


def test_a_filter_of_three_channels_is_a_colour() -> None:
    weights = np.zeros((1, 3, 1, 1), np.float32)
    weights[0, 0] = 0.2
    sheet, shown = filter_sheet(weights, 4)
    assert sheet[8, 8].tolist() == [255, 128, 128] and "1 filter of 1x1x3" in shown


def test_filters_of_many_channels_are_rows_of_slices() -> None:
    weights = -np.ones((2, 5, 1, 1), np.float32)
    weights[0, 4] = 0.5
    sheet, shown = filter_sheet(weights, 5)
    assert shown.startswith("2 filters of 1x1 (rows), 5 channels of each")
    first, second = ([sheet[y, x].tolist() for x in range(6, 40, 7)] for y in (6, 13))
    assert first == [[0, 0, 255]] * 4 + [[255, 128, 128]] and second == [[0, 0, 255]] * 5


def test_enlarging_repeats_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(enlarge(image, 5)[::2, ::2], image) and enlarge(image, 5).shape == (4, 4, 3)
    assert enlarge(np.zeros((20, 40, 3), np.uint8), 10).shape == (5, 10, 3)


def test_a_long_caption_is_wrapped_above_its_picture() -> None:
    black = np.zeros((30, 120, 3), np.uint8)
    one, two = (figure([(caption, black)]) for caption in ("short", "a caption that is too long for its picture"))
    assert one.shape[1] == two.shape[1] and two.shape[0] > one.shape[0]
    assert np.array_equal(two[-30 - 16 : -16, 16:-16], black)
