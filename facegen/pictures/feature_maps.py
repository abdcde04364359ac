"""Draws filters and feature maps: maps numbers of any range to pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.pictures.contact_sheet import contact_sheet

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float32]

MOST = 64  # maximum number of filters or maps in a picture
_PARTED = 8  # minimum size of a weight or value, in pixels, for lines between them
_SLICES = 8  # maximum number of filters, and of channels of each, if a filter has more than three channels


def signed(values: Numbers, largest: Numbers | float) -> Pixels:
    """Map numbers [...] to colours [..., 3]: red above 0, blue below, white at 0, full colour at ±``largest``."""
    scaled = values / np.maximum(largest, np.finfo(np.float32).tiny)
    above, below = np.clip(scaled, 0, 1), np.clip(-scaled, 0, 1)
    return _pixels(np.stack([1 - below, 1 - above - below, 1 - above], axis=-1))


def filter_sheet(weights: Numbers, side: int) -> tuple[Pixels, str]:
    """Draw filters [K, C, kH, kW] about ``side`` pixels wide, and describe the picture in words.

    Filters of three channels are drawn as colours, with mid-grey for 0. Of other filters each channel is a slice, red
    above 0 and blue below. Each filter is scaled by its own largest weight.
    """
    filters, channels = weights.shape[:2]
    size = "x".join(map(str, weights.shape[2:]))
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    columns = None
    if channels == 3:
        scaled = weights[:MOST] / np.maximum(largest[:MOST], np.finfo(np.float32).tiny)
        pictures = _pixels(0.5 + scaled.transpose(0, 2, 3, 1) / 2)
        shown = f"{_count(len(pictures), filters, 'filter')} of {size}x3 as colours, grey is 0"
    elif channels == 1:
        pictures = signed(weights[:MOST, 0], largest[:MOST, 0])
        shown = f"{_count(len(pictures), filters, 'filter')} of {size}, red above 0, blue below"
    else:
        part = weights[:_SLICES, :_SLICES]
        columns = part.shape[1]
        pictures = signed(part, largest[:_SLICES]).reshape(-1, *weights.shape[2:], 3)
        shown = (
            f"{_count(len(part), filters, 'filter')} of {size} (rows), {_count(columns, channels, 'channel')} of each, "
            "red above 0, blue below"
        )
    return _sheet(pictures, side, columns=columns, gap=6, lines=True), shown


def map_sheet(maps: Numbers, side: int) -> tuple[Pixels, str]:
    """Draw feature maps [K, H, W] about ``side`` pixels wide, each from its minimum to its maximum.

    Returns:
        The picture, and a description.
    """
    count, height, width = maps.shape
    part = maps[:MOST]
    least, most = (extreme(part, axis=(1, 2), keepdims=True) for extreme in (np.min, np.max))
    grey = (part - least) / np.maximum(most - least, np.finfo(np.float32).tiny)
    pictures = _pixels(np.repeat(grey[..., None], 3, axis=-1))
    shown = f"{_count(len(part), count, 'map')} of {height}x{width}, each from its least, black, to its most, white"
    return _sheet(pictures, side), shown


def enlarge(image: Pixels, side: int) -> Pixels:
    """Scale ``image`` without smoothing, by the whole factor that brings it closest to ``side`` wide."""
    height, width = image.shape[:2]
    if width <= 1.5 * side:
        factor = max(round(side / width), 1)
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    smaller = Image.fromarray(image).resize((side, max(height * side // width, 1)), Image.Resampling.BOX)
    return np.asarray(smaller)


def _sheet(pictures: Pixels, side: int, *, columns: int | None = None, gap: int = 2, lines: bool = False) -> Pixels:
    """Arrange the pictures in rows. ``lines`` separate their pixels if these are large enough."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    large = np.stack([enlarge(picture, side // columns) for picture in pictures])
    pixel = large.shape[2] // pictures.shape[2]
    if lines and pixel >= _PARTED:
        for cut in range(pixel, large.shape[2], pixel):
            large[:, :, cut] = 225
        for cut in range(pixel, large.shape[1], pixel):
            large[:, cut] = 225
    return contact_sheet(large, columns=columns, gap=gap)


def _pixels(values: Numbers) -> Pixels:
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)


def _count(shown: int, there: int, noun: str) -> str:
    if shown < there:
        return f"the first {shown} of {there} {noun}s"
    return f"{there} {noun}" if there == 1 else f"{there} {noun}s"
