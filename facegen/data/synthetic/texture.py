"""Seamless noise, computed once per process, for strands, curls, cloth and blurred backgrounds."""

from __future__ import annotations

from functools import cache

import numpy as np

from facegen.data.synthetic.canvas import HEIGHT, WIDTH, Plane

_TILE = 512
_STRANDS = 2048


def _smooth(noise: np.ndarray, *sigmas: float) -> Plane:
    """Blur periodic noise by a Gaussian, then scale it to zero mean and unit deviation.

    ``sigmas`` has one number per axis, in samples.
    """
    spectrum = np.fft.rfftn(noise)
    for axis, (sigma, size) in enumerate(zip(sigmas, noise.shape, strict=True)):
        frequency = (np.fft.rfftfreq if axis == noise.ndim - 1 else np.fft.fftfreq)(size)
        blur = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        spectrum *= blur.reshape([-1 if other == axis else 1 for other in range(noise.ndim)])
    blurred = np.fft.irfftn(spectrum, s=noise.shape, axes=tuple(range(noise.ndim)))
    blurred -= blurred.mean()
    return (blurred / blurred.std()).astype(np.float32)


@cache
def _tile(sigma_y: float, sigma_x: float) -> Plane:
    key = np.array([round(sigma_y * 100), round(sigma_x * 100)], dtype=np.uint64)
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal((_TILE, _TILE))
    return _smooth(noise, sigma_y, sigma_x)


def noise(offset_y: int, offset_x: int, sigma_y: float, sigma_x: float) -> Plane:
    """Return read-only Gaussian noise [H, W] of unit deviation, correlated over ``sigma`` pixels.

    Offsets are 0 to 255.
    """
    return _tile(sigma_y, sigma_x)[offset_y : offset_y + HEIGHT, offset_x : offset_x + WIDTH]


@cache
def _strand_table() -> Plane:
    """Return locks and single hairs as one periodic row of noise."""
    rng = np.random.Generator(np.random.Philox(key=np.array([7, 7], dtype=np.uint64)))
    locks = _smooth(rng.standard_normal(_STRANDS), 14)
    hairs = _smooth(rng.standard_normal(_STRANDS), 3)
    return 0.75 * locks + 0.65 * hairs


def strands(across: Plane, offset: int) -> Plane:
    """Return the brightness of hair by strand number, about 4 strands per pixel.

    Its mean is 0 and its deviation about 1.
    """
    return np.take(_strand_table(), (across + offset).astype(np.int32), mode="wrap")
