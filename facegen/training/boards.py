"""Boards: services that show a run's figures and grids, in addition to its log.

To add a service, add an entry to the table :data:`BOARDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from facegen.errors import EnvironmentProblem, InputError, in_words
from facegen.training.recipe import Recipe


class Board(Protocol):
    """A receiver of a run's figures and grids while it trains.

    A failure of a board never ends the training. The board warns once about each kind of failure. ``step`` is the
    number of real images shown so far.
    """

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        """Take the figures of a tick, by their names in the log."""

    def picture(self, step: int, path: Path) -> None:
        """Take the newest grid of the averaged generator's images, a PNG file in the run."""

    def close(self) -> None:
        """Finish: the run has ended or was stopped."""


#: A function that opens a board. It takes the run's folder, its recipe, and the number of images shown before.
BoardOpener = Callable[[Path, Recipe, int], Board]

#: The boards that ``facegen train --board`` accepts, each with the function or class that opens it. The module is
#: imported when the board is named. If a board needs another package, facegen's extra of the same name installs it.
BOARDS = {
    "tensorboard": "facegen.training.tensorboard:TensorBoard",
    "wandb": "facegen.training.wandb:open_wandb",
    "mlflow": "facegen.training.mlflow:open_mlflow",
}


def find_board(name: str) -> BoardOpener:
    """Return the opener of the board ``name``.

    Raises:
        InputError: No board has this name.
        EnvironmentProblem: The board's package is not installed.
    """
    if name not in BOARDS:
        raise InputError(f"There is no board {name!r}.", f"Use one of {', '.join(BOARDS)}.")
    module, _, opener = BOARDS[name].partition(":")
    try:
        found: BoardOpener = getattr(import_module(module), opener)
    except ImportError as problem:
        raise EnvironmentProblem(
            f"The board {name} needs a package that cannot be imported: {in_words(problem)}.",
            f"Install it: pip install 'facegen[{name}]'",
        ) from problem
    return found
