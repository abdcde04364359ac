"""The files of a container that are neither taken as images nor litter, so that a command can say so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class PassedOver:
    """What was left out of a container.

    Attributes:
        suffixes: how many files have each suffix, in lower case with its dot; ``""`` for those without one.
        archives: the names of those that are archives.
        pictures: the names of those that hold an image by their first bytes, or by a suffix that Pillow does not read.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    archives: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many files were left out."""
        return self.suffixes.total()
