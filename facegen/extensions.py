"""Extensions: installed packages that add metrics, extractors, flags or networks to facegen's tables."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from facegen.errors import EnvironmentProblem, in_words

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The group of entry points that name extension modules. A module registers its additions when it is imported.
GROUP = "facegen.extensions"


def extensions() -> list[EntryPoint]:
    """Return the entry points of installed packages in ``GROUP``, by name, without importing them."""
    from importlib.metadata import entry_points  # takes a tenth of a second, which --help does not need

    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def load_extensions() -> None:
    """Import the modules of all :func:`extensions`.

    Raises:
        EnvironmentProblem: A module cannot be imported, or registers a name that is taken.
    """
    for entry in extensions():
        load_extension(entry)


def load_extension(entry: EntryPoint) -> None:
    """Import the module of one extension.

    Raises:
        EnvironmentProblem: The module cannot be imported, or registers a name that is taken.
    """
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a module can raise anything; a Rust panic is not an Exception
        package = entry.dist.name if entry.dist is not None else "a package"
        raise EnvironmentProblem(
            f"The extension {entry.name} ({entry.value}) of {package} cannot be loaded: {in_words(problem)}.",
            f"Repair it, or run: pip uninstall {package}",
        ) from problem
