"""The two ways from an opened image to 8-bit RGB: that of ``prepare`` and that of pytorch-fid.

They differ for images that have more than 8-bit RGB. ``prepare`` makes the picture that a viewer shows: it composites
transparency on white and keeps the high byte of 16 bits (:class:`PreparedRgb`). A score must see what every other FID
sees, which is pytorch-fid's ``Image.open(file).convert("RGB")``: it drops alpha and clips (:func:`pytorch_fid_rgb`).
Neither applies an EXIF orientation or an ICC profile, as torchvision's datasets do not either. ``prepare`` does both on
request.
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

# Conversions by prepare. Each follows "3 images were".
COMPOSITED = "composited on white"
SIXTEEN_BIT = "reduced from 16 to 8 bits"
FIRST_FRAME = "reduced to the first of several frames"
NOT_TURNED = "kept as stored, EXIF orientation not applied"
TURNED = "turned upright by the EXIF orientation"
PROFILE_NOT_APPLIED = "kept as stored, ICC profile not applied"
PROFILE_UNUSABLE = "kept as stored, ICC profile damaged or made for other pixels"

#: A sentence that names the option of ``prepare`` that does what a note says was not done.
REMEDIES = {
    NOT_TURNED: "Add --upright to turn them as the camera was held.",
    PROFILE_NOT_APPLIED: "Add --srgb to convert them to sRGB.",
}

# Losses of pytorch-fid's conversion.
ALPHA_DROPPED = "alpha dropped"
CLIPPED = "clipped to 8 bits"
FRAMES_DROPPED = "frames dropped"
SIDEWAYS = "EXIF orientation not applied"

#: The words for images with such a loss, which follow "3 of 1,000 images are", and the remedy.
LOSSES = {
    ALPHA_DROPPED: ("transparent: scoring drops alpha as pytorch-fid does", "Save them as RGB."),
    CLIPPED: (
        "of more than 8 bits: scoring clips values to 0 to 255 as pytorch-fid does",
        "Save them with 8 bits per channel.",
    ),
    FRAMES_DROPPED: ("animated: scoring reads the first frame as pytorch-fid does", "Save each frame as an image."),
    SIDEWAYS: (
        "rotated by their EXIF orientation in viewers: scoring reads them as stored, as pytorch-fid does",
        "Save them upright if they were meant to be.",
    ),
}


def loss_sentence(note: str, count: int, total: int) -> str:
    """Return a score's warning about the ``count`` of ``total`` pictures that have ``note``, with the remedy."""
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
#: The operation that brings an image upright, by its EXIF orientation (Exif 2.32, tag 0x0112).
_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Keys of an image's ``info`` from which Pillow's :meth:`Image.Image.getexif` reads an orientation.
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"})
#: Formats whose frames are moments or pages. (The second picture in a phone's JPEG is a depth or brightness map.)
_ANIMATED = frozenset({"AVIF", "GIF", "PNG", "TIFF", "WEBP"})
#: A profile counts as sRGB if all its colours are within this many steps of sRGB's.
_SRGB_WITHIN = 3


def pytorch_fid_rgb(image: Image.Image) -> Decoded:
    """Return ``image.convert("RGB")``: bit for bit what pytorch-fid (0.3.0) and torchvision's ``ImageFolder`` see.

    Transparency is dropped, which reveals what it hid. Integers beyond 255 and floating-point values are clipped.
    ``notes`` has :data:`ALPHA_DROPPED`, :data:`CLIPPED`, :data:`FRAMES_DROPPED` or :data:`SIDEWAYS` if the image
    loses something. An image whose alpha is 255 everywhere, or whose values are all below 256, loses nothing.
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
    """A conversion to the picture that a viewer shows, with notes of what was done.

    Transparency is composited on white. Of 16 bits the high byte is kept. Pillow converts everything else that is not
    RGB (grey, palette, CMYK).

    Attributes:
        upright: Whether to turn the image by its EXIF orientation, as the camera was held.
        srgb: Whether to convert it from its ICC profile to sRGB: relative colorimetric with black point compensation.
    """

    upright: bool = False
    srgb: bool = False

    @property
    def description(self) -> str:
        """A description of what is done to the pixels, for the manifest."""
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


#: The conversion of ``prepare`` by default: torchvision's pixels.
AS_STORED = PreparedRgb()


def _convert(image: Image.Image, mode: str) -> Image.Image:
    try:
        return image.convert(mode)
    except ValueError as problem:
        raise Unreadable(f"pixels of mode {image.mode}, which Pillow does not convert to {mode}") from problem


def _is_single_channel_deep(image: Image.Image) -> bool:
    """Return whether the image has one channel of more than 8 bits: Pillow's modes I, I;16 and F."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether samples have 16 bits, which Pillow itself reduces to 8 if there are several channels.

    The image must not be loaded yet: the way its pixels are stored tells.
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
    """Return whether clipping to whole numbers from 0 to 255 changes a sample."""
    samples = np.asarray(image)
    with np.errstate(invalid="ignore"):
        kept = np.clip(samples, 0, 255).astype(np.uint8)
    return not np.array_equal(samples, kept)


def _high_byte(image: Image.Image) -> Image.Image:
    """Return the high byte of each 16-bit sample.

    Pillow's ``convert`` clips instead, which turns most of them white.
    """
    if image.mode == "F":
        raise Unreadable("floating-point pixels, whose range no standard defines")
    samples = np.asarray(image)
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise Unreadable("32-bit integer pixels outside 0 to 65,535")
    return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")


def _alpha(image: Image.Image) -> Image.Image:
    """Return the alpha channel, mode L, of an image that is transparent by a channel, a palette or a colour."""
    if _is_single_channel_deep(image):
        return Image.fromarray(np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8))
    return _convert(image, "RGBA").getchannel("A")


def _least(channel: Image.Image) -> int:
    return int(np.asarray(channel).min())


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8.

    It is 1 (upright) if it is absent or impossible, or if the EXIF is damaged.
    """
    if not _EXIF_KEYS & image.info.keys():
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:  # The metadata are damaged, not the picture.
        return 1
    return orientation if orientation in _UPRIGHT_BY else 1


def _has_frames(image: Image.Image) -> bool:
    """Return whether the image is an animation or has several pages."""
    try:
        return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
    except DAMAGE:  # A later frame is damaged.
        return False


@dataclass(frozen=True)
class _Profile:
    """A readable ICC profile: its own name, and whether it is sRGB."""

    name: str
    is_srgb: bool
    _space: str
    _opened: Any

    def convert(self, image: Image.Image, rgb: Image.Image) -> Image.Image | None:
        """Return the image in sRGB, or None if the profile does not fit it.

        ``rgb`` is the image without the profile.
        """
        if self._space == "CMYK":
            return _apply(self._opened, image) if image.mode == "CMYK" else None
        if self._space == "GRAY":
            grey = image.mode in ("1", "L", "LA") or _is_single_channel_deep(image)
            return _apply(self._opened, rgb.getchannel("R")) if grey else None
        return _apply(self._opened, rgb) if self._space == "RGB" and image.mode != "CMYK" else None


@lru_cache(maxsize=64)
def _profile(data: bytes) -> _Profile | None:
    """Return the profile, or None if it is damaged or this Pillow was built without LittleCMS."""
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
    """Return whether colours from the profile's whole range stay the same in sRGB.

    Many profiles mean sRGB by other names.
    """
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
