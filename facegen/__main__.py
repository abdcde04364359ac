"""The entry point of the command line: ``facegen``, or ``python -m facegen``, which torchrun can start.

This module imports only what Python has loaded already, so that an early Ctrl-C is handled too.
"""

from __future__ import annotations

import os
import signal
import sys

#: The same exit code as in :mod:`facegen.cli.root`, which is not imported yet.
_INTERRUPTED = 130


def start() -> None:
    """Run the command line and exit with its exit code. Ctrl-C, SIGTERM and SIGHUP give 130 at any moment."""
    code: str | int | None = _INTERRUPTED
    try:
        _fill_closed_streams()
        for number in _others():
            if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP, which must stay so
                signal.signal(number, signal.default_int_handler)
        from facegen.cli import main

        main(prog_name="facegen")
    except KeyboardInterrupt:  # during imports, or while an earlier interruption was reported
        pass
    except SystemExit as ended:
        code = ended.code
    _end_undisturbed()
    sys.exit(code)


def _fill_closed_streams() -> None:
    """Open the null device in place of a standard stream that was closed, for example by ``2>&-``.

    Otherwise the first opened file would get the stream's number, and what a C library writes to stderr would go into
    it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _others() -> list[signal.Signals]:
    """Return the signals that are handled like Ctrl-C: SIGTERM, and SIGHUP, which Windows does not have."""
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _end_undisturbed() -> None:
    """Ignore interruptions from here on: while Python exits, one would print a traceback."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in _others():
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, signal.SIG_DFL)
            return
        except KeyboardInterrupt:  # the last one that counts
            continue


if __name__ == "__main__":
    start()
