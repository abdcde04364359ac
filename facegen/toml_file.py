"""TOML that a user wrote: recipes and configurations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from facegen.errors import InputError
from facegen.file_kinds import EMPTY, HEAD, TEXT, kind_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file, in UTF-8 or, as Windows' editors and shells may write it, UTF-16 or UTF-8 with a mark.

    Args:
        what: what a message calls it: ``"The recipe x.toml"``.

    Raises:
        InputError: it cannot be read, or is something else; it says what.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise InputError(f"{what} cannot be read: {problem.strerror or problem}.") from problem
    try:
        return parse_toml(data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"), what)
    except (InputError, UnicodeDecodeError) as problem:
        kind = kind_of(data[:HEAD])
        if kind not in (None, TEXT, EMPTY):
            raise InputError(f"{what} is {kind.name}, not TOML.", kind.remedy) from problem
        if isinstance(problem, UnicodeDecodeError):
            raise InputError(f"{what} is not valid TOML: {problem}.", "Save it as UTF-8.") from problem
        raise


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """The tables of a TOML text. InputError where it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # too deeply nested
        raise InputError(f"{what} is not valid TOML: {problem}.") from problem
