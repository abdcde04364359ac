"""Images of collections, embedded in a self-contained page as data URIs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.data.images import ImageCollection
from facegen.pages import data_uri
from facegen.pictures.contact_sheet import contact_sheet

Images = npt.NDArray[np.uint8]

#: Maximum side of an embedded image, in pixels. Larger images are shrunk. Images are saved as PNG, because JPEG would
#: add errors of its own.
SIDE = 128


@dataclass(frozen=True)
class ShownImage:
    """An image to show.

    Attributes:
        pixels: uint8 [H, W, 3].
        kind: What kind of image it is, such as ``"real image"``.
        name: Name of the image.
    """

    pixels: Images
    kind: str
    name: str

    @property
    def alt(self) -> str:
        """The alternative text, for readers who cannot see the image."""
        return f"{self.kind} {self.name}"

    @property
    def uri(self) -> str:
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, format="PNG")
        return data_uri("image/png", file.getvalue())


def read_pictures(images: ImageCollection, rows: npt.NDArray[np.integer], kind: str) -> dict[int, ShownImage]:
    """Return the images in these rows, by row.

    The rows may be in any order and may repeat. The collection is read once.
    """
    chosen = np.unique(rows).tolist()
    found = zip(chosen, images.take(chosen), strict=True)
    return {row: ShownImage(_fitted(pixels), kind, name) for row, (name, pixels) in found}


def sheet(shown: Sequence[ShownImage]) -> ShownImage:
    """Return images of one kind as one contact sheet, on mid-grey if their sizes differ."""
    height, width = (max(picture.pixels.shape[axis] for picture in shown) for axis in (0, 1))
    cells = np.full((len(shown), height, width, 3), 128, np.uint8)
    for cell, picture in zip(cells, shown, strict=True):
        h, w, _ = picture.pixels.shape
        top, left = (height - h) // 2, (width - w) // 2
        cell[top : top + h, left : left + w] = picture.pixels
    return ShownImage(contact_sheet(cells), "contact sheet:", f"{len(shown)} {shown[0].kind}s")


def _fitted(pixels: Images) -> Images:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)  # never enlarges
    return np.asarray(image)
