"""Where a run's figures and grids are shown beside its log: a table, to which a service is one more entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from facegen.errors import InputError
from facegen.training.recipe import Recipe
from facegen.training.tensorboard import TensorBoard


class Board(Protocol):
    """Is told of a run while it trains. None of its failures ends the training: it says each kind once, in a warning.

    A step is the number of images that were shown.
    """

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        """Take the figures of a tick, by their names in the log."""

    def picture(self, step: int, path: Path) -> None:
        """Take the newest grid of the averaged generator's images, a PNG in the run."""

    def close(self) -> None:
        """The run ends, or is stopped."""


#: Opens a board for a run: its folder, its recipe, and the images that were shown before.
BoardOpener = Callable[[Path, Recipe, int], Board]

#: What ``facegen train --board`` names.
BOARDS: dict[str, BoardOpener] = {"tensorboard": TensorBoard}


def find_board(name: str) -> BoardOpener:
    """The opener of a name in the table. InputError where there is none."""
    if name not in BOARDS:
        raise InputError(f"There is no board {name!r}.", f"There are {', '.join(BOARDS)}.")
    return BOARDS[name]
