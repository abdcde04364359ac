"""Where a run's figures and grids are shown beside its log: a table, to which a service is one more entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from facegen.errors import EnvironmentProblem, InputError, in_words
from facegen.training.recipe import Recipe


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

#: What ``facegen train --board`` names, by what opens it, whose module is imported when it is named. A package that it
#: needs besides facegen's is in the extra of that name.
BOARDS = {
    "tensorboard": "facegen.training.tensorboard:TensorBoard",
    "wandb": "facegen.training.wandb:open_wandb",
    "mlflow": "facegen.training.mlflow:open_mlflow",
}


def find_board(name: str) -> BoardOpener:
    """The opener of a name in the table.

    Raises:
        InputError: there is none.
        EnvironmentProblem: its package is not installed.
    """
    if name not in BOARDS:
        raise InputError(f"There is no board {name!r}.", f"There are {', '.join(BOARDS)}.")
    module, _, opener = BOARDS[name].partition(":")
    try:
        found: BoardOpener = getattr(import_module(module), opener)
    except ImportError as problem:
        raise EnvironmentProblem(
            f"The board {name} needs a package that cannot be imported: {in_words(problem)}.",
            f"Install it: pip install 'facegen[{name}]'",
        ) from problem
    return found
