"""A network that is in memory only while it looks at images, for machines where everything at once does not fit."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

from torch import Tensor

from facegen.extractors.feature_extractor import FeatureNetwork

#: glibc's M_MMAP_THRESHOLD (malloc.h): what is larger gets pages of its own, which go back to the system when it is
#: freed. Without a choice glibc raises the threshold with what is freed, to 32 MB, and keeps what lies between.
_M_MMAP_THRESHOLD, _OWN_PAGES = -3, 1 << 20


class FleetingNetwork:
    """A network that is loaded when the first images come, and let go by :meth:`release`.

    Args:
        load: gives the network, the same each time.
    """

    def __init__(self, load: Callable[[], FeatureNetwork]) -> None:
        self._load = load
        self._network: FeatureNetwork | None = None

    @property
    def is_loaded(self) -> bool:
        return self._network is not None

    def resize(self, images: Tensor) -> Tensor:
        """As the network's own."""
        return self._loaded().resize(images)

    def __call__(self, resized: Tensor) -> Tensor:
        """As the network's own."""
        return self._loaded()(resized)

    def release(self) -> None:
        """Let the network go, and its memory back to the system."""
        self._network = None
        give_back_memory()

    def _loaded(self) -> FeatureNetwork:
        if self._network is None:
            self._network = self._load()
            give_back_memory()  # what the file was read into
        return self._network


def give_back_at_once() -> None:
    """Let the C library give large blocks back as they are freed, from now on. Only glibc is told."""
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)


def give_back_memory() -> None:
    """Give back to the system what is free between blocks that are in use. Only glibc is told."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
