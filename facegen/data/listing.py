"""The files and links that an archive lists, and which image lies where."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from facegen.data.decode import Unreadable
from facegen.data.image_names import count_twins, is_hidden_image, is_image_name, shown_names
from facegen.data.litter import is_litter
from facegen.data.passed_over import PassedOver
from facegen.printable import printable

#: Maximum number of links on one path. More are taken for a circle; Linux has the same limit.
_MOST_LINKS = 40
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class _Link:
    target: str
    hard: bool

    def __str__(self) -> str:
        return f"{'a hard' if self.hard else 'a symbolic'} link to {printable(self.target)}"

    def parts(self) -> list[str]:
        """Return the parts of the target. An absolute path leads out of the archive, wherever it is unpacked."""
        if self.target.startswith("/") and not self.hard:
            raise _LostLinkError(f"{self}, which is outside of the archive")
        return self.target.split("/")


class _LostLinkError(Exception):
    """A link that leads out of the archive or in a circle. The message says which."""


@dataclass(frozen=True, slots=True)
class UnreadableMember:
    """An image that an archive lists but that cannot be read, and the reason."""

    name: str
    reason: str

    def read(self) -> bytes:
        raise Unreadable(self.reason)


class Listing(Generic[Place]):
    """The files and links of an archive. ``Place`` says where the bytes of a file lie.

    Entries are added in the archive's order. As when the archive is unpacked, the later of two entries with one name
    wins. Links are followed within the archive. A symbolic link starts from its own folder. A hard link leads to what
    its target was at that point of the archive. Files that are not images are added to ``passed_over``.
    """

    def __init__(self, passed_over: PassedOver) -> None:
        self._passed_over = passed_over
        self._entries: dict[str, Place | _Link] = {}
        self._images: dict[str, None] = {}
        self._ends: set[str] = set()

    def add_file(self, name: str, place: Place, head: Callable[[], bytes]) -> None:
        """Add a file. ``head`` returns its first bytes, or none if they cannot be read."""
        self._put(name, place)
        if is_hidden_image(name):
            self._passed_over.hidden.append(name)
        elif name not in self._images and not is_litter(name):
            self._passed_over.add(name, head)

    def add_link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._put(name, _Link(target, hard=False))

    def add_hard_link(self, name: str, target: str) -> None:
        """Add another name of an earlier file."""
        entry = self._entries.get(target)
        self._put(name, _Link(target, hard=True) if entry is None else entry)
        if entry is None or is_litter(name):
            return
        if name not in self._images:
            self._passed_over.add(name, lambda: b"")
        elif target not in self._images:
            self._ends.add(target)

    def add_special(self, name: str) -> None:
        """Add a named pipe, a device or another entry that is not a file."""
        if is_image_name(name):
            self._passed_over.special.append(name)

    def _put(self, name: str, entry: Place | _Link) -> None:
        if name in self._images:
            self._passed_over.replaced += 1
        elif is_image_name(name):
            self._images[name] = None
        self._entries[name] = entry

    def images(self) -> dict[str, Place | UnreadableMember]:
        """Return where each image lies, by its name.

        An image whose link leads to no file becomes an UnreadableMember.
        """
        found: dict[str, Place | UnreadableMember] = {}
        real = shown_names(self._images)
        for shown, name in real.items():
            entry = self._entries[name]
            found[shown] = self._followed(shown, name, entry) if isinstance(entry, _Link) else entry
        for name, entry in self._entries.items():
            if isinstance(entry, _Link) and name not in self._images and not is_litter(name):
                self._tell_of_link(name, entry)
        for name in self._ends:
            if not is_litter(name):
                self._passed_over.drop(name)
        self._passed_over.twins += count_twins(found)
        return found

    def _followed(self, shown: str, name: str, link: _Link) -> Place | UnreadableMember:
        try:
            end = self._end_of(name, link)
        except _LostLinkError as lost:
            return UnreadableMember(shown, str(lost))
        entry = self._entries.get(end)
        if entry is None or isinstance(entry, _Link):
            return UnreadableMember(shown, f"{link}, which is not in the archive")
        if end not in self._images:
            self._ends.add(end)
        return entry

    def _tell_of_link(self, name: str, link: _Link) -> None:
        """Report a link whose name is not an image's. It leads to a file, a folder with its own images, or nowhere."""
        try:
            end = self._end_of(name, link)
        except _LostLinkError as lost:
            self._passed_over.nowhere.append(f"{name} ({lost})")
            return
        if end in self._entries:
            self._passed_over.add(name, lambda: b"")
        elif not self._is_folder(end):
            self._passed_over.nowhere.append(f"{name} ({link}, which is not in the archive)")

    def _end_of(self, name: str, link: _Link) -> str:
        """Return the name that a link leads to through other links, even if nothing is there."""
        rest = deque([*([] if link.hard else name.split("/")[:-1]), *link.parts()])
        done: list[str] = []
        followed = 1
        while rest:
            part = rest.popleft()
            if part == ".." and not done:
                raise _LostLinkError(f"{link}, which is outside of the archive")
            if part == "..":
                done.pop()
            if part in ("", ".", ".."):
                continue
            done.append(part)
            path = "/".join(done)
            further = self._entries.get(self._names.get(path, path))
            if not isinstance(further, _Link):
                continue
            followed += 1
            if followed > _MOST_LINKS:
                raise _LostLinkError(f"{link}, which leads in a circle")
            if further.hard:
                done.clear()
            else:
                done.pop()
            rest.extendleft(reversed(further.parts()))
        path = "/".join(done)
        return self._names.get(path, path)

    @cached_property
    def _names(self) -> dict[str, str]:
        """The real names by their plain path, without ``.`` and empty parts. Built when the first link is followed."""
        return {"/".join(part for part in name.split("/") if part not in ("", ".")): name for name in self._entries}

    @cached_property
    def _sorted_names(self) -> list[str]:
        return sorted(self._names)

    def _is_folder(self, path: str) -> bool:
        """Return whether something lies in the folder at the plain path ``path``."""
        if not path:
            return True
        at = bisect_left(self._sorted_names, f"{path}/")
        return at < len(self._sorted_names) and self._sorted_names[at].startswith(f"{path}/")
