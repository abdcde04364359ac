"""Installed packages that add to facegen's tables: a metric, an extractor, a flag, a network."""

from __future__ import annotations

from facegen.errors import EnvironmentProblem

#: The group of entry points whose modules register what they add as they are imported.
GROUP = "facegen.extensions"


def load_extensions() -> None:
    """Import the modules that installed packages name as entry points in ``GROUP``, in the order of the entries' names.

    Raises:
        EnvironmentProblem: a module that cannot be imported, or that registers what there is already.
    """
    from importlib.metadata import entry_points  # a tenth of a second, which --help does without

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            entry.load()
        except (ImportError, AttributeError, ValueError) as problem:
            package = entry.dist.name if entry.dist is not None else "a package"
            raise EnvironmentProblem(
                f"The extension {entry.name} ({entry.value}) of {package} cannot be loaded: {problem}.",
                f"Repair it, or run: pip uninstall {package}",
            ) from problem
