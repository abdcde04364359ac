"""The keys of a table that a user wrote in TOML: each is known, is of its type and lies within its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from facegen.errors import InputError

#: So many digits behind the point has a value in the CSV.
DIGITS = 4
_SHOWN = 60


@dataclass(frozen=True)
class Fields:
    """A table of a TOML file.

    Attributes:
        values: its keys, as they were parsed.
        what: what an error calls it: ``"The rubric r.toml"``, ``"[late] of the rubric r.toml"``.
    """

    values: Mapping[str, Any]
    what: str

    def require_known(self, known: Sequence[str], elsewhere: Sequence[str] = ()) -> None:
        """InputError for a key that is none of ``known``; it names the nearest, or says that it is of ``elsewhere``.

        Args:
            known: the keys of this table.
            elsewhere: those of the table around it, where TOML leaves no way back into that one.
        """
        for key in self.values:
            if key in known:
                continue
            near = get_close_matches(key, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
            if key in elsewhere:
                remedy = f"Move {key!r} to the top of the file, above the first line in brackets."
            raise InputError(f"{self.what} has {key!r}, which it does not know.", remedy)

    def number(self, key: str, default: Decimal | None, *, most: int, above: bool = False) -> Decimal | None:
        """A number from 0 (or ``above`` it) to ``most``; ``default`` where there is none."""
        return default if key not in self.values else self.as_number(key, self.values[key], most=most, above=above)

    def as_number(self, key: str, value: Any, *, most: int, above: bool = False) -> Decimal:
        """``value``, which stands under ``key``, as the number that is written there, to the last digit."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, value, "which is no number")
        if not (0 < value <= most if above else 0 <= value <= most):  # NaN is nowhere
            least = "above 0 and at most" if above else "from 0 to"
            raise self.wrong(key, value, f"and should be {least} {most:,}")
        number = Decimal(str(value))
        if number != round(number, DIGITS):
            raise self.wrong(key, value, f"and should have {DIGITS} digits behind the point at most, as values have")
        return number

    def whole(self, key: str, *, most: int) -> int | None:
        """A whole number from 0 to ``most``; None where there is none."""
        number = self.number(key, None, most=most)
        if number is not None and number != int(number):
            raise self.wrong(key, self.values[key], "and should be a whole number")
        return None if number is None else int(number)

    def flag(self, key: str) -> bool:
        """True or false; false where there is none."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "and should be true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text; ``default`` where there is none."""
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, value, "and should be a text in quotes")
        return value

    def table(self, key: str) -> Fields | None:
        """A table within it; None where there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(key, value, f"and should be a table: [{key}]")
        return None if value is None else Fields(value, f"[{key}] of {self.what[:1].lower()}{self.what[1:]}")

    def wrong(self, key: str, value: Any, how: str, remedy: str | None = None) -> InputError:
        """The error for the value of a key."""
        return InputError(f"{self.what} has {key} = {_shown(value)}, {how}.", remedy)


def _shown(value: Any) -> str:
    """A value about as it is written in TOML."""
    try:
        said = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
        said = str(value) if isinstance(value, date | time | datetime) else said
    except (ValueError, RecursionError):  # of thousands of digits, or nested as deep
        return f"one {type(value).__name__}"
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
