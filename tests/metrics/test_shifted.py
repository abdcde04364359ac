"""Shifted copies are found where they are, and strangers are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from facegen.metrics.shifted import ALIKE, find_shifted, least_of_copies, thumbnails

Images = npt.NDArray[np.uint8]


def smooth(count: int, seed: int = 0, side: int = 64) -> Images:
    noise = np.random.default_rng(seed).normal(size=(count, side, side, 3))
    soft = gaussian_filter(noise, (0, side / 20, side / 20, 0), mode="wrap")
    return np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)


def moved(images: Images, right: int, down: int) -> Images:
    side, edge = images.shape[1], 16
    padded = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[:, edge - down : edge - down + side, edge - right : edge - right + side])


KNOWN = smooth(60, seed=1)
SMALL = thumbnails(KNOWN)


@settings(max_examples=25, deadline=None)
@given(right=st.integers(-6, 6), down=st.integers(-6, 6), is_mirrored=st.booleans())
def test_every_shift_up_to_six_pixels_is_told(right: int, down: int, is_mirrored: bool) -> None:
    copies = moved(KNOWN[10:14], right, down)
    found = find_shifted(copies[:, :, ::-1] if is_mirrored else copies, SMALL)
    assert found.row.tolist() == [10, 11, 12, 13] and found.mirrored.tolist() == [is_mirrored] * 4
    assert found.shift.tolist() == [[right, down]] * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image * 0.5 + 20,
        lambda image: image * 0.8 + 50,
        lambda image: 255 * (image / 255) ** 1.5,
        lambda image: image + np.random.default_rng(0).normal(0, 5, image.shape),
    ],
    ids=["less contrast", "brighter", "gamma", "noise"],
)
def test_brightness_contrast_and_noise_do_not_hide_a_shifted_copy(change: object) -> None:
    altered = np.clip(change(moved(KNOWN[:4], 3, -2).astype(np.float64)), 0, 255).astype(np.uint8)  # type: ignore[operator]
    found = find_shifted(altered, SMALL)
    assert found.row.tolist() == [0, 1, 2, 3] and found.shift.tolist() == [[3, -2]] * 4


def test_strangers_are_not_found_and_the_limit_is_the_callers() -> None:
    strangers = smooth(40, seed=2)
    found = find_shifted(strangers, SMALL)
    assert (found.row == -1).all() and found.correlation.max() < ALIKE
    assert (find_shifted(strangers, SMALL, limit=-1.0).row >= 0).all()


def test_the_correlation_is_that_of_fine_detail_at_the_shift() -> None:
    image = moved(KNOWN[:1], 2, 0)
    found = find_shifted(image, SMALL)

    def detail(luma: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return luma - gaussian_filter(luma, 1.2, mode="nearest")

    whole = (image[0] @ np.array([0.299, 0.587, 0.114])).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    first, second = detail(whole)[3:29, 4:30], detail(SMALL[0].astype(np.float64))[3:29, 3:29]
    expected = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert found.shift.tolist() == [[2, 0]] and found.correlation[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("side", [32, 96, 128])
def test_other_sizes_have_shifts_in_their_own_pixels(side: int) -> None:
    known = smooth(20, seed=3, side=side)
    right = side // 32
    found = find_shifted(moved(known[5:7], right, 0), thumbnails(known))
    assert found.row.tolist() == [5, 6] and found.shift.tolist() == [[right, 0]] * 2


def test_flat_images_are_nobodys_copies() -> None:
    flat = np.full((3, 64, 64, 3), 90, dtype=np.uint8)
    assert (find_shifted(flat, SMALL).row == -1).all()
    assert (find_shifted(flat, thumbnails(flat)).row == -1).all()  # those have exact fingerprints


def test_nothing_is_found_in_nothing() -> None:
    assert find_shifted(KNOWN[:2], SMALL[:0]).row.tolist() == [-1, -1]
    assert len(find_shifted(KNOWN[:0], SMALL).row) == 0


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = moved(KNOWN[:8], 4, 4)
    whole = find_shifted(copies, SMALL)
    monkeypatch.setattr("facegen.metrics.shifted._BLOCK", 7)
    parts = find_shifted(copies, SMALL)
    assert parts.row.tolist() == whole.row.tolist() == list(range(8))


def test_among_images_that_are_much_alike_a_copy_has_to_be_nearer() -> None:
    assert least_of_copies(SMALL) == ALIKE
    alike = np.clip(KNOWN[:1] + (smooth(60, seed=5) - 128.0) * 0.3, 0, 255).astype(np.uint8)
    limit = least_of_copies(thumbnails(alike))
    assert ALIKE < limit < 1
    assert (find_shifted(alike[:1] // 2, thumbnails(alike), limit).row == 0).all()
    assert least_of_copies(SMALL[:1]) == ALIKE
