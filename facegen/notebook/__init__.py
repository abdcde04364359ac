"""What facegen shows in a notebook by itself: bars, curves and grids that are replaced in place, and results as cards.

In a kernel of Jupyter, Colab, Kaggle or VS Code the functions of :mod:`facegen` show how far they are without being
asked. Nothing happens at import: each looks where it runs when it is called. :func:`off` ends it. Then messages go to
stderr and progress is a line a minute, as in any file.
"""

from __future__ import annotations

import sys

_is_off = False


def is_on() -> bool:
    """Whether this Python is a notebook's kernel, and nobody said :func:`off`.

    A kernel has imported IPython before any cell runs, so it is looked for and never imported. IPython in a terminal is
    no notebook: its shell has no ``kernel``.
    """
    return not _is_off and getattr(_shell(), "kernel", None) is not None


def cell() -> int | None:
    """The number of the cell at work; None outside a notebook."""
    return getattr(_shell(), "execution_count", None)


def _shell() -> object | None:
    """IPython's, where this Python runs in one."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def off() -> None:
    """Show nothing by itself from here on. Results keep their cards, which a cell shows as its last value alone."""
    global _is_off
    _is_off = True


def on() -> None:
    """Take :func:`off` back."""
    global _is_off
    _is_off = False
