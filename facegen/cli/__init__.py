"""The command line: one thin file a command. It parses words, calls the stage and prints its result."""

from facegen.cli.root import main

__all__ = ["main"]
