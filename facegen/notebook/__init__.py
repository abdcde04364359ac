"""Display in notebooks: progress bars, curves and grids that update in place, and results as cards.

In Jupyter, Colab, Kaggle or VS Code, the functions of :mod:`facegen` show their progress automatically. Nothing
happens at import: each function checks where it runs when it is called. :func:`off` turns the display off. Messages
then go to stderr, and progress is one line per minute.
"""

from __future__ import annotations

import sys

_is_off = False


def is_on() -> bool:
    """Return whether this process is a notebook kernel and the display was not turned :func:`off`.

    A kernel has imported IPython before any cell runs, so this function looks for the module and never imports it.
    IPython in a terminal is not a notebook: its shell has no ``kernel``.
    """
    return not _is_off and getattr(_shell(), "kernel", None) is not None


def cell() -> int | None:
    """Return the number of the running cell. None outside of a notebook."""
    return getattr(_shell(), "execution_count", None)


def _shell() -> object | None:
    """Return IPython's shell, if there is one."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def off() -> None:
    """Turn the automatic display off. A result that is the last value of a cell is still shown as a card."""
    global _is_off
    _is_off = True


def on() -> None:
    """Turn the automatic display on again."""
    global _is_off
    _is_off = False
