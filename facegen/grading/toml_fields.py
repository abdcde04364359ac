"""The keys of a table that a user wrote in TOML: each is known, is of its type and lies within its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from facegen.errors import InputError

#: Maximum number of decimal places of a number, which is that of a value in the CSV.
DIGITS = 4
_SHOWN = 60


@dataclass(frozen=True)
class Fields:
    """A table of a TOML file.

    Attributes:
        values: The keys and their parsed values.
        what: The name of the table in messages: ``"The rubric r.toml"``, ``"[late] of the rubric r.toml"``.
    """

    values: Mapping[str, Any]
    what: str

    def require_known(self, known: Sequence[str], elsewhere: Sequence[str] = ()) -> None:
        """Raise InputError for a key that is not in ``known``. The remedy names the nearest key, or the right table.

        Args:
            known: The keys of this table.
            elsewhere: The keys of the enclosing table. In TOML, they cannot follow this table.
        """
        for key in self.values:
            if key in known:
                continue
            near = get_close_matches(key, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(known)}."
            if key in elsewhere:
                remedy = f"Move {key!r} to the top of the file, above the first line in brackets."
            raise InputError(f"{self.what} has the unknown key {key!r}.", remedy)

    def number(self, key: str, default: Decimal | None, *, most: int, above: bool = False) -> Decimal | None:
        """Return a number from 0 to ``most``, or above 0 if ``above``; return ``default`` if the key is missing."""
        return default if key not in self.values else self.as_number(key, self.values[key], most=most, above=above)

    def as_number(self, key: str, value: Any, *, most: int, above: bool = False) -> Decimal:
        """Return ``value``, which belongs to ``key``, as exactly the number that is written there."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, value, "which is not a number")
        if not (0 < value <= most if above else 0 <= value <= most):  # False for NaN
            least = "above 0 and at most" if above else "from 0 to"
            raise self.wrong(key, value, f"but it must be {least} {most:,}")
        number = Decimal(str(value))
        if number != round(number, DIGITS):
            raise self.wrong(key, value, f"but it may have at most {DIGITS} decimal places, as values do")
        return number

    def whole(self, key: str, *, most: int) -> int | None:
        """Return a whole number from 0 to ``most``; None if the key is missing."""
        number = self.number(key, None, most=most)
        if number is not None and number != int(number):
            raise self.wrong(key, self.values[key], "but it must be a whole number")
        return None if number is None else int(number)

    def flag(self, key: str) -> bool:
        """Return true or false; false if the key is missing."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "but it must be true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        """Return a text; ``default`` if the key is missing."""
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, value, "but it must be a text in quotes")
        return value

    def table(self, key: str) -> Fields | None:
        """Return a table within this one; None if the key is missing."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(key, value, f"but it must be a table: [{key}]")
        return None if value is None else Fields(value, f"[{key}] of {self.what[:1].lower()}{self.what[1:]}")

    def wrong(self, key: str, value: Any, how: str, remedy: str | None = None) -> InputError:
        """Return the error for the value of a key."""
        return InputError(f"{self.what} has {key} = {_shown(value)}, {how}.", remedy)


def _shown(value: Any) -> str:
    """Format a value approximately as TOML writes it."""
    try:
        said = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
        said = str(value) if isinstance(value, date | time | datetime) else said
    except (ValueError, RecursionError):  # a number of thousands of digits, or a value nested as deep
        return f"one {type(value).__name__}"
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
