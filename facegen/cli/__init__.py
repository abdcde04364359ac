"""The command line: one thin file per command, which parses the arguments, calls the stage and prints its result."""

from facegen.cli.root import main

__all__ = ["main"]
