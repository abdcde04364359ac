"""Tools for drawing faces: soft masks over local boxes of a float picture, in the head's coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 218, 178
#: The point between the eyes, as in aligned CelebA, whose eyes are at about (69, 111) and (108, 111).
EYES_X, EYES_Y = 88.5, 111.0

#: Always float32. NumPy's type stubs lose that when a Python float takes part.
Plane: TypeAlias = npt.NDArray[np.floating[Any]]
#: Three floats in [0, 1]: red, green, blue as displayed (sRGB).
Colour: TypeAlias = tuple[float, float, float]


@cache
def _grid() -> tuple[Plane, Plane]:
    """Return pixel centres relative to the point between the eyes: x [1, W] and y [H, 1]."""
    x = np.arange(WIDTH, dtype=np.float32)[None, :] - EYES_X
    y = np.arange(HEIGHT, dtype=np.float32)[:, None] - EYES_Y
    return x, y


@cache
def _vignette() -> Plane:
    x, y = _grid()
    return 1 - 0.16 * np.minimum((x / 110) ** 2 * ((y + 2) / 130) ** 2 * 2 + ((x / 110) ** 2 + (y / 130) ** 2) * 0.3, 1)


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """Interpolate linearly from ``first`` (``amount`` 0) to ``second`` (``amount`` 1)."""
    r, g, b = (p + (q - p) * amount for p, q in zip(first, second, strict=True))
    return r, g, b


def scaled(colour: Colour, factor: float) -> Colour:
    """Return the colour ``factor`` times as bright, clipped at 1."""
    r, g, b = (min(1.0, channel * factor) for channel in colour)
    return r, g, b


# The next three functions use ``clip``, which is some four times faster than NumPy's maximum or minimum with a number.


def unit(values: Plane) -> Plane:
    """Clip the values to [0, 1]."""
    return values.clip(0, 1)


def positive(values: Plane) -> Plane:
    """Replace negative values by 0."""
    return values.clip(0, math.inf)


def negative(values: Plane) -> Plane:
    """Replace positive values by 0."""
    return values.clip(-math.inf, 0)


def coverage(depth: Plane, softness: float = 1.2) -> Plane:
    """Return the covered fraction of each pixel, for a ``depth`` in pixels that is positive inside.

    The edge is ``softness`` pixels wide.
    """
    return unit(depth * (1 / softness) + 0.5)


def radius2(x: Plane, y: Plane, rx: float, ry: float) -> Plane:
    """Return the squared elliptical radius, which is 1 on the ellipse with half-axes ``rx`` and ``ry``."""
    across, down = x * (1 / rx), y * (1 / ry)
    return across * across + down * down


def ellipse(x: Plane, y: Plane, rx: float, ry: float, softness: float = 1.2) -> Plane:
    """Return the coverage of an ellipse, to first order in the distance from its edge."""
    return coverage((1 - radius2(x, y, rx, ry)) * (min(rx, ry) / 2), softness)


def bump(x: Plane, y: Plane, rx: float, ry: float) -> Plane:
    """Return a smooth hill (1 − r²)², 1 in the middle and 0 outside the ellipse. It is like a Gaussian with an end."""
    hill = positive(1 - radius2(x, y, rx, ry))
    return hill * hill


def _planes(colour: Colour | Plane) -> Plane:
    """Return a colour as [3, 1, 1], which broadcasts with a box [3, h, w]. Return a picture unchanged."""
    return np.array(colour, dtype=np.float32).reshape(3, 1, 1) if isinstance(colour, tuple) else colour


def ramp(level: Plane, stops: tuple[Colour, Colour, Colour], middle: float, end: float) -> Plane:
    """Map ``level`` [h, w] to colours [3, h, w]. The stops lie at 0, ``middle`` and ``end``."""
    low, centre, high = (_planes(stop) for stop in stops)
    dark = level.clip(-math.inf, middle) * (1 / middle) - 1
    bright = positive(level - middle) * (1 / (end - middle))
    colours = dark * (centre - low)
    colours += bright * (high - centre)
    colours += centre
    return colours


@dataclass(slots=True)
class Patch:
    """A box of the picture. ``x`` and ``y`` [h, w] are head coordinates measured from the box's centre."""

    x: Plane
    y: Plane
    pixels: Plane
    rows: slice
    columns: slice

    def paint(self, mask: Plane, colour: Colour | Plane) -> None:
        """Paint a colour, or a picture [3, h, w], over the box with the opacity ``mask`` [h, w]."""
        change = _planes(colour) - self.pixels
        change *= mask
        self.pixels[...] += change

    def tint(self, mask: Plane, colour: Colour) -> None:
        """Multiply the box by ``colour`` where ``mask`` is 1, as a shadow or a stain does.

        What lies below stays visible.
        """
        factor = mask * (_planes(colour) - 1)
        factor += 1
        self.pixels[...] *= factor

    def light(self, mask: Plane, colour: Colour) -> None:
        """Lighten the box towards white by ``mask`` times ``colour`` (the blend mode "screen")."""
        change = 1 - self.pixels
        change *= mask * _planes(colour)
        self.pixels[...] += change


class Canvas:
    """A picture float32 [3, H, W] in [0, 1], with the head's coordinates.

    x grows to the right and y downwards, in pixels from the point between the eyes, rotated by ``roll`` radians.
    """

    def __init__(self, roll: float) -> None:
        self.pixels: Plane = np.empty((3, HEIGHT, WIDTH), np.float32)
        self._cos, self._sin = math.cos(roll), math.sin(roll)
        x, y = _grid()
        cos, sin = self._cos, self._sin
        self.x: Plane = x * cos + y * sin
        self.y: Plane = y * cos - x * sin

    def patch(self, x: float, y: float, rx: float, ry: float) -> Patch:
        """Return the box around the head coordinates (x, y) that holds everything within ±rx, ±ry of them."""
        column = EYES_X + x * self._cos - y * self._sin
        row = EYES_Y + x * self._sin + y * self._cos
        half_width = rx * self._cos + ry * abs(self._sin) + 1
        half_height = ry * self._cos + rx * abs(self._sin) + 1
        rows = slice(max(0, int(row - half_height)), max(0, int(row + half_height + 2)))
        columns = slice(max(0, int(column - half_width)), max(0, int(column + half_width + 2)))
        return Patch(
            self.x[rows, columns] - x,
            self.y[rows, columns] - y,
            self.pixels[:, rows, columns],
            rows,
            columns,
        )

    def whole(self) -> Patch:
        """Return the whole picture as one box, centred between the eyes."""
        return Patch(self.x, self.y, self.pixels, slice(0, HEIGHT), slice(0, WIDTH))

    def finish(self, tint: Colour) -> npt.NDArray[np.uint8]:
        """Return the picture as uint8 [H, W, 3], with the tint of the light and corners darkened as by a lens."""
        levels: Plane = self.pixels * (_vignette() * _planes(tint))
        levels.clip(0, 1, out=levels)
        levels *= 255
        levels += 0.5
        return np.stack(tuple(levels.astype(np.uint8)), axis=-1)
