"""The two ways from an opened image to 8-bit RGB: what ``prepare`` makes of it, and what pytorch-fid sees.

They differ where an image has more than RGB. ``prepare`` makes the picture that a viewer shows: what is transparent is
composited on white, 16 bits are reduced to their high byte (:class:`PreparedRgb`). A score has to see what every other
FID sees: pytorch-fid's ``Image.open(file).convert("RGB")``, which drops alpha and clips (:func:`pytorch_fid_rgb`).
Neither turns an image by its EXIF orientation nor applies its ICC profile, as torchvision's datasets do not either;
``prepare`` does both where it is asked to.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from facegen.data.decode import DAMAGE, Decoded, Unreadable
from facegen.printable import printable

# What preparing did to an image. Each stands after "3 images were".
COMPOSITED = "composited on white"
SIXTEEN_BIT = "reduced from 16 to 8 bits"
FIRST_FRAME = "reduced to the first of several frames"
NOT_TURNED = "kept as stored, EXIF orientation not applied"
TURNED = "turned upright by the EXIF orientation"
PROFILE_NOT_APPLIED = "kept as stored, ICC profile not applied"
PROFILE_UNUSABLE = "kept as stored, ICC profile damaged or made for other pixels"

#: The option of ``prepare`` that does what a note says was not done, a sentence.
REMEDIES = {
    NOT_TURNED: "Add --upright to turn them as the camera was held.",
    PROFILE_NOT_APPLIED: "Add --srgb to convert them to sRGB.",
}

# What pytorch-fid's conversion loses of an image.
ALPHA_DROPPED = "alpha dropped"
CLIPPED = "clipped to 8 bits"
FRAMES_DROPPED = "frames dropped"
SIDEWAYS = "EXIF orientation not applied"

#: What is said of images with such a loss, after "3 of 1,000 images are", and the remedy, a sentence.
LOSSES = {
    ALPHA_DROPPED: ("transparent: scoring drops alpha as pytorch-fid does", "Save them as RGB."),
    CLIPPED: (
        "of more than 8 bits: scoring clips values to 0 to 255 as pytorch-fid does",
        "Save them with 8 bits a channel.",
    ),
    FRAMES_DROPPED: ("animated: scoring takes the first frame as pytorch-fid does", "Save each frame as an image."),
    SIDEWAYS: (
        "to be turned by their EXIF orientation: scoring takes them as stored, as pytorch-fid does",
        "Save them upright if they were meant to be.",
    ),
}


def loss_sentence(note: str, count: int, total: int) -> str:
    """What a score's warning says of a ``note`` that ``count`` of ``total`` pictures have, and the remedy."""
    what, remedy = LOSSES[note]
    return f"{count:,} of {total:,} images {'is' if count == 1 else 'are'} {what}. {remedy}"


_COLOURS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey",
    "P": "a palette",
    "PA": "a palette",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "LAB",
    "HSV": "HSV",
}
#: What brings an image upright, by its EXIF orientation (Exif 2.32, tag 0x0112).
_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Where Pillow keeps what :meth:`Image.Image.getexif` reads an orientation from.
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"})
#: Formats whose frames are moments or pages. (A phone's JPEG has a second picture, with depths or brightnesses.)
_ANIMATED = frozenset({"AVIF", "GIF", "PNG", "TIFF", "WEBP"})
#: A profile whose colours are all within so many steps of sRGB's is sRGB.
_SRGB_WITHIN = 3


def pytorch_fid_rgb(image: Image.Image) -> Decoded:
    """``image.convert("RGB")``, to the bit what pytorch-fid (0.3.0) and torchvision's ``ImageFolder`` see.

    Transparency is dropped, so that what was hidden shows; integers beyond 255 and floating-point values are clipped.
    ``notes`` has :data:`ALPHA_DROPPED`, :data:`CLIPPED`, :data:`FRAMES_DROPPED` or :data:`SIDEWAYS` where the image
    loses something by it: not where alpha is 255 or values are below 256 everywhere.
    """
    image.load()
    rgb = _convert(image, "RGB")
    notes = []
    if image.has_transparency_data and _least(_alpha(image)) < 255:
        notes.append(ALPHA_DROPPED)
    if _is_single_channel_deep(image) and _exceeds_8_bits(image):
        notes.append(CLIPPED)
    if _has_frames(image):
        notes.append(FRAMES_DROPPED)
    if _orientation(image) != 1:
        notes.append(SIDEWAYS)
    return Decoded(rgb, tuple(notes))


@dataclass(frozen=True)
class PreparedRgb:
    """The picture that a viewer shows, and notes of what was done to get it.

    Transparency is composited on white; of 16 bits the high byte is kept; what else is no RGB (grey, palette, CMYK) is
    converted by Pillow.

    Attributes:
        upright: turn it by its EXIF orientation, as the camera was held.
        srgb: convert it from its ICC profile to sRGB: relative colorimetric with black point compensation.
    """

    upright: bool = False
    srgb: bool = False

    @property
    def description(self) -> str:
        """What is done to the pixels, for the manifest."""
        done = ["RGB turned upright by EXIF" if self.upright else "RGB as stored"]
        return ", ".join([*done, "to sRGB by ICC profile (relative colorimetric)"] if self.srgb else done)

    def __call__(self, image: Image.Image) -> Decoded:
        done = [SIXTEEN_BIT] if _has_16_bits(image) else []
        image.load()
        colours = "grey" if _is_single_channel_deep(image) else _COLOURS.get(image.mode)
        if colours is not None:
            done.append(f"converted from {colours} to RGB")
        rgb = _high_byte(image) if _is_single_channel_deep(image) else _convert(image, "RGB")
        alpha = _alpha(image) if image.has_transparency_data else None
        if "icc_profile" in image.info:
            rgb = self._in_srgb(image, rgb, done)
        if alpha is not None:
            done.append(COMPOSITED)
            rgb.putalpha(alpha)
            white = Image.new("RGBA", rgb.size, (255, 255, 255, 255))
            rgb = Image.alpha_composite(white, rgb).convert("RGB")
        if _has_frames(image):
            done.append(FIRST_FRAME)
        if (orientation := _orientation(image)) != 1:
            done.append(TURNED if self.upright else NOT_TURNED)
            rgb = rgb.transpose(_UPRIGHT_BY[orientation]) if self.upright else rgb
        return Decoded(rgb, tuple(done))

    def _in_srgb(self, image: Image.Image, rgb: Image.Image, done: list[str]) -> Image.Image:
        profile = _profile(image.info["icc_profile"])
        if profile is None:
            done += [PROFILE_UNUSABLE] if self.srgb else []
            return rgb
        if profile.is_srgb:
            return rgb
        if not self.srgb:
            done.append(PROFILE_NOT_APPLIED)
            return rgb
        converted = profile.convert(image, rgb)
        done.append(PROFILE_UNUSABLE if converted is None else f"converted from {profile.name} to sRGB")
        return rgb if converted is None else converted


#: What ``prepare`` does unless it is asked for more: torchvision's pixels.
AS_STORED = PreparedRgb()


def _convert(image: Image.Image, mode: str) -> Image.Image:
    try:
        return image.convert(mode)
    except ValueError as problem:
        raise Unreadable(f"pixels of mode {image.mode}, which Pillow does not convert to {mode}") from problem


def _is_single_channel_deep(image: Image.Image) -> bool:
    """Whether its one channel has more than 8 bits: Pillow's modes I, I;16 and F."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _has_16_bits(image: Image.Image) -> bool:
    """Whether samples have 16 bits, which Pillow itself reduces to 8 where there are several channels.

    The image is not loaded yet: what tells is how its pixels are stored.
    """
    if _is_single_channel_deep(image):
        return True
    for tile in getattr(image, "tile", None) or ():
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if any(isinstance(word, str) and ";16" in word for word in arguments):
            return True
        if tile.codec_name.startswith("ppm") and any(isinstance(word, int) and word > 255 for word in arguments):
            return True
    return False


def _exceeds_8_bits(image: Image.Image) -> bool:
    """Whether clipping to whole numbers from 0 to 255 changes a sample."""
    samples = np.asarray(image)
    with np.errstate(invalid="ignore"):
        kept = np.clip(samples, 0, 255).astype(np.uint8)
    return not np.array_equal(samples, kept)


def _high_byte(image: Image.Image) -> Image.Image:
    """The high byte of each 16-bit sample. (Pillow's own ``convert`` clips instead, which turns most of it white.)"""
    if image.mode == "F":
        raise Unreadable("floating-point pixels, whose range no standard defines")
    samples = np.asarray(image)
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise Unreadable("32-bit integer pixels outside 0 to 65,535")
    return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")


def _alpha(image: Image.Image) -> Image.Image:
    """The alpha, mode L, of an image that can be transparent: by a channel, a palette or a colour."""
    if _is_single_channel_deep(image):
        return Image.fromarray(np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8))
    return _convert(image, "RGBA").getchannel("A")


def _least(channel: Image.Image) -> int:
    return int(np.asarray(channel).min())


def _orientation(image: Image.Image) -> int:
    """Its EXIF orientation, 1 to 8; 1, upright, where it has none, an impossible one, or damaged EXIF."""
    if not _EXIF_KEYS & image.info.keys():
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:  # of metadata, not of the picture
        return 1
    return orientation if orientation in _UPRIGHT_BY else 1


def _has_frames(image: Image.Image) -> bool:
    """Whether it is an animation or has several pages."""
    try:
        return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
    except DAMAGE:  # of a later frame
        return False


@dataclass(frozen=True)
class _Profile:
    """An ICC profile that can be read: what it calls itself, and whether that is sRGB."""

    name: str
    is_srgb: bool
    _space: str
    _opened: Any

    def convert(self, image: Image.Image, rgb: Image.Image) -> Image.Image | None:
        """The image in sRGB; ``rgb`` is what it is without the profile. None where the profile does not fit it."""
        if self._space == "CMYK":
            return _apply(self._opened, image) if image.mode == "CMYK" else None
        if self._space == "GRAY":
            grey = image.mode in ("1", "L", "LA") or _is_single_channel_deep(image)
            return _apply(self._opened, rgb.getchannel("R")) if grey else None
        return _apply(self._opened, rgb) if self._space == "RGB" and image.mode != "CMYK" else None


@lru_cache(maxsize=64)
def _profile(data: bytes) -> _Profile | None:
    """The profile; None where it is damaged, or this Pillow was built without LittleCMS."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = opened.profile.xcolor_space.strip()
        said = opened.profile.profile_description or opened.profile.model or ""
        name = printable(" ".join(said.split()))[:60] or "an ICC profile without a name"
        return _Profile(name, _is_srgb(opened, space), space, opened)
    except (*DAMAGE, ImportError, ImageCms.PyCMSError):
        return None


def _is_srgb(profile: Any, space: str) -> bool:
    """Whether colours from all over its range stay as they are in sRGB. Many profiles mean sRGB, under many names."""
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(6, 36, 3)
    if space == "GRAY":
        probe = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), 3, axis=2)
    elif space != "RGB":
        return False
    image = Image.fromarray(probe)
    converted = _apply(profile, image.getchannel("R") if space == "GRAY" else image)
    difference = np.abs(np.asarray(converted, dtype=np.int16) - probe) if converted is not None else np.array(256)
    return int(difference.max()) <= _SRGB_WITHIN


def _apply(profile: Any, image: Image.Image) -> Image.Image | None:
    from PIL import ImageCms

    try:
        return ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (*DAMAGE, ImageCms.PyCMSError):
        return None
