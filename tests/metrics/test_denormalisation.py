from __future__ import annotations

import numpy as np
import pytest

from facegen.metrics.denormalisation import PixelValues


def values_of(*images: np.ndarray) -> PixelValues:
    values = PixelValues()
    for image in images:
        values.update(image)
    return values


def test_shares_and_percentiles_by_hand() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 0] = [0, 200, 100, 240]  # steps 200, 100, 140; the other channels are all 0
    values = values_of(image)
    assert values.zeros == pytest.approx(9 / 12)
    assert values.jumps == pytest.approx(2 / 9)
    assert [values.percentile(percent) for percent in (75, 76, 84, 100)] == [0, 100, 200, 240]


def test_one_by_one_or_at_once_is_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    once, singly = values_of(images), values_of(*images)
    assert (once.zeros, once.jumps, once.percentile(30)) == (singly.zeros, singly.jumps, singly.percentile(30))


def test_percentiles_are_numpys() -> None:
    images = np.random.default_rng(1).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    expected = np.percentile(images, [0.5, 50, 99.5], method="inverted_cdf")
    assert [values_of(images).percentile(percent) for percent in (0.5, 50, 99.5)] == list(expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tanh: tanh * 255, "exactly 0"),
        (lambda tanh: (tanh * 127.5).astype(np.int64) % 256, "wrap around"),
        (lambda tanh: (tanh + 3) / 4 * 255, "denormalised twice"),
        (lambda tanh: 20 + 20 * (tanh + 1), "of the range 0 to 255"),
        (lambda tanh: np.rint((tanh + 1) / 2), "without multiplying by 255"),
        (lambda tanh: (tanh + 1) * 127.5, None),
    ],
)
def test_how_it_was_saved(change: object, words: str | None) -> None:
    columns = np.sin(np.linspace(0, 3, 64))[:, None, None] * np.cos(np.linspace(0, 12, 64))[None, :, None]
    tanh = np.broadcast_to(columns, (64, 64, 3))
    sign = values_of(np.clip(change(tanh), 0, 255).astype(np.uint8)).sign()  # type: ignore[operator]
    assert sign is None if words is None else sign is not None and words in sign


def runs(shares: dict[int, float]) -> np.ndarray:
    """A row of 20,000 pixels, each value in a run of its own: neighbours differ where two runs meet alone."""
    values = np.repeat(list(shares), [round(share * 20_000) for share in shares.values()])
    return np.broadcast_to(values.astype(np.uint8)[None, :, None], (1, len(values), 3))


def jumps(share: float, height: int = 129) -> np.ndarray:
    """A row of 20,001 pixels: this share of its steps go up or down by ``height``, the others by none."""
    there = np.arange(20_000) < round(share * 20_000)
    values = 60 + height * (np.append(0, np.cumsum(there)) % 2)
    return np.broadcast_to(values.astype(np.uint8)[None, :, None], (1, 20_001, 3))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (runs({0: 0.5, 1: 0.5}), "without multiplying by 255"),
        (runs({1: 1.0}), "without multiplying by 255"),
        (runs({1: 0.5, 2: 0.5}), "1 to 2 of the range 0 to 255"),
        (runs({0: 0.26, 99: 0.74}), "26% of all values are exactly 0"),
        (runs({0: 0.24, 99: 0.76}), None),
        (runs({0: 0.25, 99: 0.75}), None),
        (jumps(0.019), None),
        (jumps(0.021), "2.1% of neighbouring values"),
        (jumps(0.149), "14.9% of neighbouring values"),
        (jumps(0.151), None),
        (jumps(0.149, height=128), None),  # half the range is 127.5, and bytes know no half: more than 128 is over it
        (runs({99: 0.5, 255: 0.5}), None),
        (runs({100: 0.5, 255: 0.5}), "about 100 of 255"),
        (runs({20: 0.5, 84: 0.5}), None),
        (runs({20: 0.5, 83: 0.5}), "20 to 83 of the range 0 to 255"),
        (runs({20: 0.004, 100: 0.992, 240: 0.004}), "about 100 of 255"),  # 0.5% at either end is no range
        (runs({20: 0.006, 100: 0.988, 240: 0.006}), None),
        (runs({20: 0.996, 240: 0.004}), "20 to 20 of the range 0 to 255"),
    ],
)
def test_where_a_sign_begins(image: np.ndarray, words: str | None) -> None:
    sign = values_of(image).sign()
    assert sign is None if words is None else sign is not None and words in sign


def test_values_go_on_from_their_state() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    images[..., 0] //= 200  # so that neighbours, jumps and zeros are of different numbers
    begun, gone_on, whole = values_of(*images[:3]), PixelValues(), values_of(images)
    gone_on.restore(begun.state())
    np.testing.assert_array_equal(gone_on.state(), begun.state())
    gone_on.update(images[3:])
    assert (gone_on.zeros, gone_on.jumps) == (whole.zeros, whole.jumps)
    assert [gone_on.percentile(percent) for percent in range(101)] == [whole.percentile(p) for p in range(101)]


@pytest.mark.parametrize("state", [np.zeros(257, np.int64), np.zeros(258)])
def test_the_state_of_something_else_is_refused(state: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected counts int64 \[258\]"):
        PixelValues().restore(state)


def test_no_images_have_values_of_bytes_and_no_zeros() -> None:
    values = PixelValues()
    assert (values.zeros, values.jumps) == (0, 0)
    assert 0 <= values.percentile(0.5) <= values.percentile(100) <= 255
