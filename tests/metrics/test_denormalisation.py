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
        (lambda tanh: 20 + 20 * (tanh + 1), "of 0 to 255 only"),
        (lambda tanh: np.rint((tanh + 1) / 2), "without multiplying by 255"),
        (lambda tanh: (tanh + 1) * 127.5, None),
    ],
)
def test_how_it_was_saved(change: object, words: str | None) -> None:
    columns = np.sin(np.linspace(0, 3, 64))[:, None, None] * np.cos(np.linspace(0, 12, 64))[None, :, None]
    tanh = np.broadcast_to(columns, (64, 64, 3))
    sign = values_of(np.clip(change(tanh), 0, 255).astype(np.uint8)).sign()  # type: ignore[operator]
    assert sign is None if words is None else sign is not None and words in sign
