"""The start of the command line: ``facegen``, and ``python -m facegen``, the form that torchrun can start.

Nothing is imported here but what Python has loaded already, so that an interruption finds its place from the start.
"""

from __future__ import annotations

import os
import signal
import sys

#: As in :mod:`facegen.cli.root`, which is not imported yet.
_INTERRUPTED = 130


def start() -> None:
    """Run the command line, and end with its exit code: 130 too where Ctrl-C, SIGTERM or SIGHUP comes at any moment."""
    code: str | int | None = _INTERRUPTED
    try:
        _fill_closed_streams()
        for number in _others():
            if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)
        from facegen.cli import main

        main(prog_name="facegen")
    except KeyboardInterrupt:  # during imports, or while an interruption was told
        pass
    except SystemExit as ended:
        code = ended.code
    _end_undisturbed()
    sys.exit(code)


def _fill_closed_streams() -> None:
    """Open the null device in place of a standard stream that was closed, as by ``2>&-``.

    The first file that is opened would take its number, and what a library in C writes to its stderr would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _others() -> list[signal.Signals]:
    """What ends like Ctrl-C: a cluster's signal, and that of a terminal that is closed, which Windows does not have."""
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _end_undisturbed() -> None:
    """Ignore interruptions from here on: the work is over, and one as Python ends would print a traceback."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in _others():
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, signal.SIG_DFL)
            return
        except KeyboardInterrupt:  # the last one
            continue


if __name__ == "__main__":
    start()
