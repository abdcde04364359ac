"""What an archive lists: its files, and the links among them, until it is known which image lies where."""

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

#: More links on one way are taken for a circle; Linux allows as many.
_MOST_LINKS = 40
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class _Link:
    target: str
    hard: bool

    def __str__(self) -> str:
        return f"{'a hard' if self.hard else 'a symbolic'} link to {printable(self.target)}"

    def parts(self) -> list[str]:
        """Of the target. Where an archive is unpacked is not known, so that an absolute path leads out of it."""
        if self.target.startswith("/") and not self.hard:
            raise _LostLinkError(f"{self}, which is outside of the archive")
        return self.target.split("/")


class _LostLinkError(Exception):
    """A link whose way leads out of the archive, or in a circle; the message says which."""


@dataclass(frozen=True, slots=True)
class UnreadableMember:
    """An image that an archive lists and that cannot be had, and why."""

    name: str
    reason: str

    def read(self) -> bytes:
        raise Unreadable(self.reason)


class Listing(Generic[Place]):
    """The files and links of an archive, added in its order; ``Place`` is where the bytes of a file lie.

    As where an archive is unpacked, of two entries with one name the later counts. Links are followed within the
    archive: a symbolic one from the folder it lies in, a hard one to what its name stood for when it came. What is not
    an image is told to ``passed_over``.
    """

    def __init__(self, passed_over: PassedOver) -> None:
        self._passed_over = passed_over
        self._entries: dict[str, Place | _Link] = {}
        self._images: dict[str, None] = {}
        self._ends: set[str] = set()

    def add_file(self, name: str, place: Place, head: Callable[[], bytes]) -> None:
        """A file; ``head`` gives its first bytes, none where they cannot be had."""
        self._put(name, place)
        if is_hidden_image(name):
            self._passed_over.hidden.append(name)
        elif name not in self._images and not is_litter(name):
            self._passed_over.add(name, head)

    def add_link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._put(name, _Link(target, hard=False))

    def add_hard_link(self, name: str, target: str) -> None:
        """Another name of a file that came before."""
        entry = self._entries.get(target)
        self._put(name, _Link(target, hard=True) if entry is None else entry)
        if entry is None or is_litter(name):
            return
        if name not in self._images:
            self._passed_over.add(name, lambda: b"")
        elif target not in self._images:
            self._ends.add(target)

    def add_special(self, name: str) -> None:
        """A named pipe, a device, or what else is no file."""
        if is_image_name(name):
            self._passed_over.special.append(name)

    def _put(self, name: str, entry: Place | _Link) -> None:
        if name in self._images:
            self._passed_over.replaced += 1
        elif is_image_name(name):
            self._images[name] = None
        self._entries[name] = entry

    def images(self) -> dict[str, Place | UnreadableMember]:
        """Each image by its name, with where it lies; or, of a link that leads to no file, the member that says so."""
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
        """A link without an image's name: to such a file, to a folder, whose images have names of their own, or out."""
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
        """The name that a link leads to, through other links, whether something is there or not."""
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
        """Names by their plain path, without ``.`` and empty parts: made where there is a link to follow."""
        return {"/".join(part for part in name.split("/") if part not in ("", ".")): name for name in self._entries}

    @cached_property
    def _sorted_names(self) -> list[str]:
        return sorted(self._names)

    def _is_folder(self, path: str) -> bool:
        """Whether something lies in the folder ``path``, which is plain."""
        if not path:
            return True
        at = bisect_left(self._sorted_names, f"{path}/")
        return at < len(self._sorted_names) and self._sorted_names[at].startswith(f"{path}/")
