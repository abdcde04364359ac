from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from scipy.signal import firwin
from torch import Tensor

from facegen.cnn.chroma import ChromaLowPass, low_pass


def random_images(size: int = 12) -> Tensor:
    """Float64 [2, 3, size, size], so far from ±1 that no filter reaches it."""
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


def brightness(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("cutoff", [0.3, 0.7, 0.95])
def test_the_filter_is_scipys(cutoff: float) -> None:
    np.testing.assert_allclose(low_pass(cutoff).numpy(), firwin(7, cutoff), rtol=0, atol=1e-15)


def test_colour_is_smoothed_as_scipy_smooths_and_brightness_stays() -> None:
    images = random_images()
    grey = brightness(images)[:, None]
    expected = (images - grey).numpy()
    for axis in (2, 3):
        expected = correlate1d(expected, firwin(7, 0.7), axis=axis, mode="mirror")
    smoothed = ChromaLowPass(0.7).double()(images)
    # The kernel is kept in float32.
    np.testing.assert_allclose(smoothed.numpy(), grey.numpy() + expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(brightness(smoothed), brightness(images), rtol=0, atol=1e-6)


def test_an_image_without_colour_is_left_alone() -> None:
    grey = random_images()[:, :1].expand(-1, 3, -1, -1).float()
    torch.testing.assert_close(ChromaLowPass(0.5)(grey), grey, rtol=0, atol=1e-6)


def test_what_overshoots_is_clipped() -> None:
    stripes = torch.ones(1, 3, 8, 8)
    stripes[:, 0, :, ::2] = -1
    assert ChromaLowPass(0.7)(stripes).abs().max() == 1


def test_nothing_is_learned_or_saved() -> None:
    layer = ChromaLowPass(0.7)
    assert not list(layer.parameters())
    assert not layer.state_dict()


def test_bfloat16_images_are_filtered_in_float32() -> None:
    images, layer = random_images().bfloat16(), ChromaLowPass(0.7)
    with torch.autocast("cpu", torch.bfloat16):
        smoothed = layer(images)
    assert smoothed.dtype == torch.float32
    torch.testing.assert_close(smoothed, layer(images.float()), rtol=0, atol=0)
