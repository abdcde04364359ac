"""Conversion of images in memory, in any common form, to uint8 pixels.

Nothing is guessed. If images can be read in two ways, the error says which argument to pass.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegen.errors import InputError

Layout = Literal["NCHW", "NHWC"]
#: The axis of the channels in each layout.
_CHANNELS: dict[str, int] = {"NCHW": 1, "NHWC": 3}


def check_forms(layout: str | None, value_range: tuple[float, float] | None) -> None:
    """Raise InputError unless :func:`as_pixels` takes this layout and this value range."""
    if layout is not None and layout not in _CHANNELS:
        raise InputError(f"There is no layout {layout!r}.", 'Use layout="NCHW" or layout="NHWC".')
    if value_range is None:
        return
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"The value range is {value_range!r}, but it must be two numbers, the lower first.",
            "Pass (0, 1) or (-1, 1), for example.",
        )


def as_pixels(
    images: Any, called: str, *, layout: str | None = None, value_range: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Return images as uint8 [N, H, W, 3] in main memory.

    Args:
        images: A NumPy array, a tensor on any device, or an array of another library that NumPy reads. Either uint8 in
            0–255, or floating-point in ``value_range``; [N, 3, H, W] or [N, H, W, 3].
        called: What messages call the images at the start of a sentence, such as ``"The images"``.
        layout: ``"NCHW"`` or ``"NHWC"``; None to recognise it by the axis of length 3.
        value_range: The numbers that stand for black and white in floating-point images. Values are rounded to bytes. A
            value less than half a byte outside the range counts as the end of the range.

    Raises:
        InputError: The images are not an array; their shape can be read in two ways or does not fit ``layout``; their
            dtype is neither uint8 nor floating-point; values are not finite or outside the range; or floating-point
            images come without a range.
    """
    tensor = _as_tensor(images, called)
    shape = f"[{', '.join(map(str, tensor.shape))}]"
    channels = _channels(tuple(tensor.shape), called, shape, layout)
    if tensor.dtype == torch.uint8:
        pixels = tensor
    elif tensor.dtype.is_floating_point:
        pixels = _as_bytes(tensor, called, value_range)
    else:
        name = str(tensor.dtype).removeprefix("torch.")
        raise InputError(
            f"{called} are {name} {shape}, but images are uint8 from 0 to 255, or floating-point.",
            "If the values are in 0 to 255, convert them with .to(torch.uint8) or .astype('uint8').",
        )
    return (pixels.permute(0, 2, 3, 1) if channels == 1 else pixels).contiguous().cpu().numpy()


def _as_tensor(images: Any, called: str) -> Tensor:
    if isinstance(images, Tensor):
        return images.detach()
    if isinstance(images, list | tuple) or not hasattr(images, "__array__"):
        kind = type(images).__name__
        raise InputError(
            f"{called} are of type {kind}, not an array or tensor.",
            "Stack them: torch.stack(images) or numpy.stack(images)."
            if isinstance(images, list | tuple)
            else "Pass a NumPy array or a torch tensor.",
        )
    array = np.asarray(images)
    if array.dtype.kind not in "fui" or array.dtype.itemsize > 8:
        raise InputError(
            f"{called} are {array.dtype} {list(array.shape)}, but images are uint8 from 0 to 255, or floating-point.",
            "Convert them with .astype('uint8').",
        )
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _channels(shape: tuple[int, ...], called: str, told: str, layout: str | None) -> int:
    """Return the axis of the channels."""
    want = "Images are [N, 3, H, W] or [N, H, W, 3]"
    if len(shape) == 3 and 3 in (shape[0], shape[2]):
        raise InputError(f"{want}, but these are {told}: that is one image.", "Pass it as images[None].")
    if len(shape) in (2, 3):
        raise InputError(
            f"{want}, but these are {told}: they have no axis of channels.",
            "If they are grey, repeat each as three channels: images[:, None].repeat(1, 3, 1, 1) for a tensor.",
        )
    if len(shape) != 4:
        raise InputError(f"{want}, but these are {told}.", "Pass one batch of images.")
    if not shape[0]:
        raise InputError(f"{called} are {told}: an empty batch.", "Leave it out.")
    fits = [axis for axis in _CHANNELS.values() if shape[axis] == 3]
    if layout is not None and _CHANNELS[layout] not in fits:
        raise InputError(
            f"The layout was said to be {layout}, and {called.lower()} are {told}.", "Pass the layout that they have."
        )
    if not fits:
        grey = 1 in (shape[1], shape[3])
        raise InputError(
            f"{want}, but these are {told}{': they are grey' if grey else ''}.",
            "Repeat the channel three times: images.repeat(1, 3, 1, 1) for a tensor [N, 1, H, W]."
            if grey
            else "Convert them to RGB.",
        )
    if min(shape) < 1:
        raise InputError(f"{called} are {told}: they have no pixels.", "Pass images of at least one pixel.")
    if layout is None and len(fits) == 2:
        raise InputError(
            f"{called} are {told}: their channels may be the second axis or the last.",
            'Say which it is: layout="NCHW" or layout="NHWC".',
        )
    return fits[0] if layout is None else _CHANNELS[layout]


def _as_bytes(images: Tensor, called: str, value_range: tuple[float, float] | None) -> Tensor:
    # Half precision cannot hold 255 distinct steps.
    values = images if images.dtype == torch.float64 else images.float()
    low, high = (float(value) for value in torch.stack(values.aminmax()).tolist())
    if not (math.isfinite(low) and math.isfinite(high)):  # both are NaN if any value is
        raise InputError(f"{called} hold NaN or infinity.", "Check the generator that made them: it may have diverged.")
    if value_range is None:
        raise InputError(
            f"{called} are floating-point, from {low:.4g} to {high:.4g}, and it is unknown which values are black and "
            "white.",
            "Pass facegen.Scorer(…, value_range=(0, 1)), or (-1, 1) for the output of a tanh; or pass uint8 images.",
        )
    black, white = map(float, value_range)
    step = (white - black) / 255
    if low < black - step / 2 or high > white + step / 2:
        raise InputError(
            f"{called} run from {low:.4g} to {high:.4g}, outside the given range {black:g} to {white:g}.",
            f"To cut them off, pass images.clamp({black:g}, {white:g}). Otherwise pass the right value_range.",
        )
    return ((values - black) * (255 / (white - black))).round().clamp(0, 255).to(torch.uint8)
