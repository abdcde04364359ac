"""The start of the command line: ``facegen``, and ``python -m facegen``, the form that torchrun can start.

Nothing is imported here but what Python has loaded already, so that an interruption finds its place from the start.
"""

from __future__ import annotations

import signal
import sys

#: As in :mod:`facegen.cli.root`, which is not imported yet.
_INTERRUPTED = 130


def start() -> None:
    """Run the command line, and end with its exit code: 130 too where Ctrl-C, SIGTERM or SIGHUP comes at any moment."""
    try:
        for name in ("SIGTERM", "SIGHUP"):  # a cluster's, and that of a terminal that is closed: they end like Ctrl-C
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)
        from facegen.cli import main

        main(prog_name="facegen")
    except KeyboardInterrupt:  # during imports, or while an interruption was told
        sys.exit(_INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python ends: there is nothing left to interrupt


if __name__ == "__main__":
    start()
