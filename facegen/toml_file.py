"""Reads TOML files that a user wrote: recipes and configurations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from facegen.errors import InputError
from facegen.file_kinds import EMPTY, HEAD, TEXT, kind_of
from facegen.files import open_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Maximum size of a file in bytes, and maximum nesting of tables and arrays.
_LARGEST, _DEEPEST = 1 << 20, 32


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file in UTF-8, or in UTF-16 or UTF-8 with a byte order mark, as Windows programs may write it.

    Args:
        what: The name of the file in messages: ``"The recipe x.toml"``.

    Raises:
        InputError: The file cannot be read, or is not TOML. The message says what it is.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_LARGEST + 1)
    except OSError as problem:
        raise InputError(f"{what} cannot be read: {problem.strerror or problem}.") from problem
    if len(data) > _LARGEST and kind_of(data[:HEAD]) in (None, TEXT):
        raise InputError(f"{what} has more than {_LARGEST >> 20} MiB, too much for TOML.", "Name a TOML file.")
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
    """Parse TOML.

    Raises:
        InputError: The text is not valid TOML.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # too deeply nested
        raise InputError(f"{what} is not valid TOML: {' '.join(str(problem).split())}.") from problem
    inner: list[Any] = [tables]
    for _ in range(_DEEPEST):
        inner = [value for outer in inner for value in (outer.values() if isinstance(outer, dict) else outer)]
        inner = [value for value in inner if isinstance(value, dict | list)]
    if inner:  # for keys such as a.a.a.a the parser would take forever
        raise InputError(f"{what} is nested more than {_DEEPEST} deep.", "Remove the inner tables and arrays.")
    return tables
