"""Compares the pixels of ``facegen prepare`` with torchvision's, on files that are easy to read wrongly."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from facegen.checks.check import CheckResult
from facegen.data.decode import Unreadable, decode, formats
from facegen.data.rgb import AS_STORED
from facegen.data.transform import resize_and_crop

#: Sides of the prepared images, in pixels.
SIZES = (64, 128)
_ORIENTATION = 0x0112


def check_pixels() -> CheckResult:
    """Check that every odd image becomes torchvision's ``Resize(size)``, ``CenterCrop(size)``, bit for bit."""
    try:
        from torchvision.transforms import CenterCrop, Compose, Resize
    except (ImportError, RuntimeError) as problem:
        return CheckResult(
            "wrong",
            f"The package torchvision cannot be imported: {str(problem).rstrip('.')}.",
            "torch and torchvision must be of one release: pip install --upgrade torch torchvision",
        )
    names, unequal = [], []
    unread: dict[str, str] = {}
    for name, data, expected in odd_images():
        names.append(name)
        for size in SIZES:
            theirs = np.asarray(Compose([Resize(size), CenterCrop(size)])(expected))
            try:
                equal = np.array_equal(resize_and_crop(decode(data, AS_STORED).image, size), theirs)
            except Unreadable as problem:
                unread[name], equal = str(problem), False
            if not equal:
                unequal.append(f"{name} at {size}×{size}")
    details = {"images": names, "sizes": list(SIZES), "unequal": unequal}
    if unread:
        name, reason = next(iter(unread.items()))
        return CheckResult(
            "wrong",
            f"{len(unread)} of {len(names)} odd images cannot be read, the first, {name}, because: {reason}.",
            "Upgrade Pillow: pip install --upgrade pillow",
            details,
        )
    if unequal:
        return CheckResult(
            "wrong",
            f"The pixels that prepare makes are not torchvision's for: {', '.join(unequal)}.",
            "Datasets made here differ from others': upgrade Pillow and torchvision, and report it.",
            details,
        )
    message = f"The pixels that prepare makes of {len(names)} odd images are torchvision's, bit for bit."
    return CheckResult("ok", message, None, details)


def odd_images() -> Iterator[tuple[str, bytes, Image.Image]]:
    """Yield for each odd image its name, the bytes of the file, and the RGB picture in it."""
    for width, height in ((178, 218), (64, 65), (67, 64), (1, 60), (60, 1), (10, 7)):
        picture = _noise(width, height)
        yield f"{width}×{height} PNG", _file(picture, "PNG"), picture
    yield _kept("JPEG", "RGB")
    yield _kept("JPEG", "L")
    yield _kept("JPEG", "CMYK")
    yield _kept("PNG", "1")
    yield _kept("PNG", "P")

    wide = _noise(140, 99)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    # The pixels as stored, because torchvision's datasets do not apply EXIF either.
    yield "JPEG turned by EXIF", (turned := _file(wide, "JPEG", exif)), _opened(turned)

    grey = np.asarray(_noise(99, 140).convert("L"))
    low = np.random.default_rng(0).integers(0, 256, grey.shape, dtype=np.uint16)
    deep = Image.fromarray((grey.astype(np.uint16) << 8) + low)
    yield "16-bit PNG", _file(deep, "PNG"), Image.fromarray(grey).convert("RGB")

    seen = ImageOps.invert(wide.convert("L")).point([0] * 128 + [255] * 128)
    transparent = wide.copy()
    transparent.putalpha(seen)
    on_white = Image.composite(wide, Image.new("RGB", wide.size, "white"), seen)
    yield "transparent PNG", _file(transparent, "PNG"), on_white


def _kept(format: str, mode: str) -> tuple[str, bytes, Image.Image]:
    data = _file(_noise(121, 178).convert(mode), format)
    return f"{mode} {format}", data, _opened(data)


def _noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(1000 * width + height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _file(image: Image.Image, format: str, exif: Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    if exif is None:
        image.save(file, format)
    else:
        image.save(file, format, exif=exif)
    return file.getvalue()


def _opened(data: bytes) -> Image.Image:
    """Open a file as torchvision's datasets do."""
    return Image.open(io.BytesIO(data), formats=formats()).convert("RGB")
