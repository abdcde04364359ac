"""Images in memory: an array of pixels with the interface of a file of images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from facegen.data.arrays import row_names


@dataclass(frozen=True)
class PixelArray:
    """Images uint8 [N, H, W, 3], named by their rows."""

    images: npt.NDArray[np.uint8]

    @property
    def names(self) -> Sequence[str]:
        return row_names(len(self.images))

    @cached_property
    def sha256(self) -> str:
        """Hash of the shape and the pixels."""
        digest = hashlib.sha256(f"pixels {list(self.images.shape)}".encode())
        for image in self.images:
            digest.update(image.tobytes())
        return digest.hexdigest()
