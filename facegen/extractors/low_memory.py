"""A network that is in memory only while it processes images, for machines with little memory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

from torch import Tensor

from facegen.extractors.feature_extractor import FeatureNetwork

#: glibc's M_MMAP_THRESHOLD (malloc.h). Larger blocks get pages of their own, which return to the system when freed.
#: By default glibc raises the threshold up to 32 MB as blocks are freed, and keeps smaller blocks.
_M_MMAP_THRESHOLD, _OWN_PAGES = -3, 1 << 20


class FleetingNetwork:
    """A network that is loaded with the first images and freed by :meth:`release`.

    Args:
        load: Loads the network. It must give the same network every time.
    """

    def __init__(self, load: Callable[[], FeatureNetwork]) -> None:
        self._load = load
        self._network: FeatureNetwork | None = None

    @property
    def is_loaded(self) -> bool:
        return self._network is not None

    def resize(self, images: Tensor) -> Tensor:
        """Resize as the network does."""
        return self._loaded().resize(images)

    def __call__(self, resized: Tensor) -> Tensor:
        """Compute features as the network does."""
        return self._loaded()(resized)

    def release(self) -> None:
        """Free the network and return its memory to the system."""
        self._network = None
        give_back_memory()

    def _loaded(self) -> FeatureNetwork:
        if self._network is None:
            self._network = self._load()
            give_back_memory()  # the buffer that the file was read into
        return self._network


def give_back_at_once() -> None:
    """Make the C library return large blocks to the system as soon as they are freed. This affects glibc only."""
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)


def give_back_memory() -> None:
    """Return free memory between used blocks to the system. This affects glibc only."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
