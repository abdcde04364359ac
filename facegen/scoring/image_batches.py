"""Images that a program has in memory, in any of the forms that such programs have them in, as pixels.

Nothing is guessed: what can be read in two ways is an error that names the word to say.
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
#: Where the channels of each layout are.
_CHANNELS: dict[str, int] = {"NCHW": 1, "NHWC": 3}


def check_forms(layout: str | None, value_range: tuple[float, float] | None) -> None:
    """InputError unless the two are what :func:`as_pixels` takes."""
    if layout is not None and layout not in _CHANNELS:
        raise InputError(f"There is no layout {layout!r}.", 'Say "NCHW" or "NHWC".')
    if value_range is None:
        return
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"The value range is {value_range!r}, and should be two numbers, the lower first.",
            "Say (0, 1) or (-1, 1), for example.",
        )


def as_pixels(
    images: Any, called: str, *, layout: str | None = None, value_range: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Images as uint8 [N, H, W, 3] in main memory.

    Args:
        images: a NumPy array, a tensor on any device, or an array of another library that NumPy reads: uint8 in 0–255,
            or floating-point in ``value_range``; [N, 3, H, W] or [N, H, W, 3].
        called: what messages call them, as it begins a sentence: ``"The images"``.
        layout: which of the two, ``"NCHW"`` or ``"NHWC"``; None to tell it by the axis that is 3 long.
        value_range: the numbers that stand for black and white, of floating-point images. They become bytes by
            rounding; what lies less than half a byte outside is taken for the range's end.

    Raises:
        InputError: no array of images; a shape that can be read in two ways, or that is not of ``layout``; a type that
            is neither; values that are not finite or outside the range; floating-point images without a range.
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
            f"{called} are {name} {shape}: images are uint8 from 0 to 255, or floating-point.",
            "If they are in 0 to 255, convert them with .to(torch.uint8), or .astype('uint8').",
        )
    return (pixels.permute(0, 2, 3, 1) if channels == 1 else pixels).contiguous().cpu().numpy()


def _as_tensor(images: Any, called: str) -> Tensor:
    if isinstance(images, Tensor):
        return images.detach()
    if isinstance(images, list | tuple) or not hasattr(images, "__array__"):
        kind = type(images).__name__
        raise InputError(
            f"{called} are of type {kind}, and no array or tensor.",
            "Stack them: torch.stack(images), or numpy.stack(images)."
            if isinstance(images, list | tuple)
            else "Give a NumPy array or a torch tensor of them.",
        )
    array = np.asarray(images)
    if array.dtype.kind not in "fui" or array.dtype.itemsize > 8:
        raise InputError(
            f"{called} are {array.dtype} {list(array.shape)}: images are uint8 from 0 to 255, or floating-point.",
            "Convert them with .astype('uint8').",
        )
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _channels(shape: tuple[int, ...], called: str, told: str, layout: str | None) -> int:
    """Which axis has the channels."""
    want = "Images are [N, 3, H, W] or [N, H, W, 3]"
    if len(shape) == 3 and 3 in (shape[0], shape[2]):
        raise InputError(f"{want}, and these are {told}: that is one image.", "Give it as images[None].")
    if len(shape) in (2, 3):
        raise InputError(
            f"{want}, and these are {told}: they have no axis of channels.",
            "If they are grey, repeat each as three channels: images[:, None].repeat(1, 3, 1, 1) of a tensor.",
        )
    if len(shape) != 4:
        raise InputError(f"{want}, and these are {told}.", "Give one batch of images.")
    if not shape[0]:
        raise InputError(f"{called} are {told}: an empty batch.", "Leave it out.")
    fits = [axis for axis in _CHANNELS.values() if shape[axis] == 3]
    if layout is not None and _CHANNELS[layout] not in fits:
        raise InputError(f"The layout was said to be {layout}, and {called.lower()} are {told}.", "Say what they are.")
    if not fits:
        grey = 1 in (shape[1], shape[3])
        raise InputError(
            f"{want}, and these are {told}{': they are grey' if grey else ''}.",
            "Repeat the channel three times: images.repeat(1, 3, 1, 1) of a tensor [N, 1, H, W]."
            if grey
            else "Convert them to RGB.",
        )
    if min(shape) < 1:
        raise InputError(f"{called} are {told}: they have no pixels.", "Give images of at least one pixel.")
    if layout is None and len(fits) == 2:
        raise InputError(
            f"{called} are {told}: their channels may be the second axis or the last.",
            'Say which: layout="NCHW" or layout="NHWC".',
        )
    return fits[0] if layout is None else _CHANNELS[layout]


def _as_bytes(images: Tensor, called: str, value_range: tuple[float, float] | None) -> Tensor:
    # In half precision 255 steps do not stay apart.
    values = images if images.dtype == torch.float64 else images.float()
    low, high = (float(value) for value in torch.stack(values.aminmax()).tolist())
    if not (math.isfinite(low) and math.isfinite(high)):  # both are NaN where any value is
        raise InputError(f"{called} hold NaN or infinity.", "Look at what made them: a generator that diverged does.")
    if value_range is None:
        raise InputError(
            f"{called} are floating-point, from {low:.4g} to {high:.4g}, and nobody said which values are black and "
            "white.",
            "Say facegen.Scorer(…, value_range=(0, 1)), or (-1, 1) for a tanh's; or give uint8.",
        )
    black, white = map(float, value_range)
    step = (white - black) / 255
    if low < black - step / 2 or high > white + step / 2:
        raise InputError(
            f"{called} run from {low:.4g} to {high:.4g}, outside of the range {black:g} to {white:g} that was said.",
            f"If they are meant to be cut off, give images.clamp({black:g}, {white:g}); otherwise say the right range.",
        )
    return ((values - black) * (255 / (white - black))).round().clamp(0, 255).to(torch.uint8)
