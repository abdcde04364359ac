"""Installed packages that add to facegen's tables: a metric, an extractor, a flag, a network."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from facegen.errors import EnvironmentProblem, in_words

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The group of entry points whose modules register what they add as they are imported.
GROUP = "facegen.extensions"


def extensions() -> list[EntryPoint]:
    """The entry points of installed packages in ``GROUP``, by name. Nothing is imported yet."""
    from importlib.metadata import entry_points  # a tenth of a second, which --help does without

    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def load_extensions() -> None:
    """Import the modules of all :func:`extensions`.

    Raises:
        EnvironmentProblem: a module cannot be imported, or registers what there is already.
    """
    for entry in extensions():
        load_extension(entry)


def load_extension(entry: EntryPoint) -> None:
    """Import the module of one. EnvironmentProblem as :func:`load_extensions`."""
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # whatever the package's module raises; a panic in Rust is no Exception
        package = entry.dist.name if entry.dist is not None else "a package"
        raise EnvironmentProblem(
            f"The extension {entry.name} ({entry.value}) of {package} cannot be loaded: {in_words(problem)}.",
            f"Repair it, or run: pip uninstall {package}",
        ) from problem
