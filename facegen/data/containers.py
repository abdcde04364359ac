"""The interface of a container of encoded images.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``). It hands out members: small picklable
objects that a worker process can ``read`` by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from facegen.data.passed_over import PassedOver


class Member(Protocol):
    """One encoded image: its name in the container, and its bytes on demand."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """Return the encoded bytes. Raise ``Unreadable`` if they cannot be read."""
        ...


class Container(Protocol):
    """A folder, archive, table or array of images.

    ``names`` are relative, with forward slashes, in natural order. ``passed_over`` describes the other files in it
    that are neither images nor litter (what systems and programs leave beside a user's files).
    """

    kind: str
    path: Path
    passed_over: PassedOver

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def identity(self) -> str:
        """64 hex digits that change when the images may have changed. Computing them is cheap: nothing is decoded."""
        ...

    def members(self, names: Sequence[str]) -> Iterator[Member]:
        """Yield the members called ``names``, in that order. ``names`` is in natural order."""
        ...
