"""The cost of lateness: a deadline, a penalty for each day begun, and extensions for single students."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from facegen.errors import InputError
from facegen.grading.moments import NoMoment, placed, shown
from facegen.grading.toml_fields import Fields

_KEYS = ("deadline", "per_day", "most", "grace", "too_late_after", "too_late", "extensions")
#: Maximum number of points that can be earned or lost.
MOST_POINTS = 1000
_MOST_DAYS = 366
_DAY = timedelta(days=1)
_SPANS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "day": 86400}
_SPAN = re.compile(rf"(\d{{1,6}}) ?({'|'.join(_SPANS)})s?")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%")
_OFFSET = 'Add its offset, as in 2026-11-20T23:59:00+09:00, or timezone = "Asia/Seoul" at the top of the rubric.'


def rounded(points: Decimal) -> Decimal:
    """Round to two decimal places. Halves are rounded up, as spreadsheets do."""
    return points.quantize(Decimal("0.01"), ROUND_HALF_UP)


def digits(number: Decimal) -> str:
    """Format a number without needless zeros: ``"93.2"``, ``"100"``."""
    return f"{number.normalize() + 0:f}"


@dataclass(frozen=True)
class Amount:
    """A number of points, or a percentage of the points that the value earns."""

    number: Decimal
    percent: bool = False

    def of(self, points: Decimal) -> Decimal:
        return rounded(points * self.number / 100) if self.percent else self.number


@dataclass(frozen=True)
class Late:
    """The cost of lateness.

    Attributes:
        deadline: The last second that is not late.
        per_day: The penalty for each day begun after the deadline.
        most: The maximum penalty; None for no maximum.
        grace: The time after the deadline that is not late yet. A later submission is counted from the deadline.
        too_late_after: The number of days after which a submission earns at most ``too_late``, and no more than the
            penalty leaves; None for no such limit.
        too_late: The maximum number of points of such a submission.
        extensions: The deadlines of single students, by their numbers in lower case.
    """

    deadline: datetime
    per_day: Amount = Amount(Decimal(0))
    most: Amount | None = None
    grace: timedelta = timedelta()
    too_late_after: int | None = None
    too_late: Decimal = Decimal(0)
    extensions: Mapping[str, datetime] | None = None

    def deadline_of(self, student_number: str | None) -> datetime:
        return (self.extensions or {}).get((student_number or "").casefold(), self.deadline)

    def days(self, student_number: str | None, at: datetime) -> int:
        """Return the number of days begun after the student's deadline; 0 if the submission is in time."""
        after = at - self.deadline_of(student_number)
        return 0 if after <= self.grace else -(-after // _DAY)

    def reduced(self, points: Decimal, student_number: str | None, at: datetime) -> tuple[Decimal, str | None]:
        """Return the points that the penalty leaves, and a sentence about it; None if the submission is in time."""
        days = self.days(student_number, at)
        deadline = self.deadline_of(student_number)
        if not days:
            return points, None
        own = "" if deadline == self.deadline else "own "
        when = f"the {own}deadline was {shown(deadline)}, and it was handed in {shown(at, deadline)}"
        begins = f"{days} day{'s' * (days > 1)} late ({when})"
        lost = Amount(self.per_day.number * days, self.per_day.percent).of(points)
        capped = lost if self.most is None else min(lost, self.most.of(points))
        left = max(Decimal(0), points - capped)
        if self.too_late_after is not None and days > self.too_late_after:
            return min(left, self.too_late), (
                f"{begins}: after {self.too_late_after} days, at most {digits(self.too_late)} points are earned."
            )
        bound = " (the maximum penalty)" if capped < lost else ""
        bound = " (all that were earned)" if capped > points else bound
        return left, f"{begins}: −{digits(points - left)} points{bound}."


def late_of(fields: Fields, zone: tzinfo | None) -> Late:
    """Read the table ``[late]`` of a rubric.

    ``zone`` is the time zone of times without an offset.

    Raises:
        InputError: A key is unknown, missing or has no effect.
    """
    fields.require_known(_KEYS, elsewhere=("timezone", "value", "rejected", "missing", "benefit_of_doubt"))
    if "deadline" not in fields.values:
        raise InputError(f"{fields.what} has no deadline.", "Add, for example, deadline = 2026-11-20T23:59:00+09:00.")
    late = Late(
        deadline=_moment(fields, "deadline", fields.values["deadline"], zone),
        per_day=_amount(fields, "per_day") or Amount(Decimal(0)),
        most=_amount(fields, "most"),
        grace=_span(fields, "grace"),
        too_late_after=fields.whole("too_late_after", most=_MOST_DAYS),
        too_late=fields.number("too_late", Decimal(0), most=MOST_POINTS) or Decimal(0),
        extensions=_extensions(fields.table("extensions"), zone),
    )
    if "per_day" not in fields.values and late.too_late_after is None:
        raise InputError(
            f"{fields.what} has a deadline but no penalty.", "Add, for example, per_day = 10 or too_late_after = 0."
        )
    if "too_late" in fields.values and late.too_late_after is None:
        raise InputError(f"{fields.what} has too_late but no too_late_after.", "Add too_late_after, a number of days.")
    if "most" in fields.values and "per_day" not in fields.values:
        raise InputError(f"{fields.what} has most but no per_day.", "Add, for example, per_day = 10.")
    return late


def _extensions(fields: Fields | None, zone: tzinfo | None) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for number, value in ({} if fields is None else fields.values).items():
        assert fields is not None
        if number.casefold() in found:
            raise InputError(
                f"{fields.what} has {number!r} twice, with different upper and lower case.", "Keep one of them."
            )
        found[number.casefold()] = _moment(fields, number, value, zone)
    return found


def _moment(fields: Fields, key: str, value: Any, zone: tzinfo | None) -> datetime:
    if not isinstance(value, datetime):
        raise fields.wrong(
            key, value, "but it must be a date with a time, not in quotes", "Write 2026-11-20T23:59:00+09:00"
        )
    try:
        return placed(value, zone)
    except NoMoment as problem:
        raise fields.wrong(key, value, f"which {problem}", _OFFSET) from problem


def _amount(fields: Fields, key: str) -> Amount | None:
    value = fields.values.get(key)
    if value is None or not isinstance(value, str):
        number = fields.number(key, None, most=MOST_POINTS)
        return None if number is None else Amount(number)
    percent = _PERCENT.fullmatch(value.strip())
    if percent is None or Decimal(percent[1]) > 100:
        raise fields.wrong(key, value, 'but it must be a number of points or, in quotes, "0%" to "100%"')
    return Amount(Decimal(percent[1]), percent=True)


def _span(fields: Fields, key: str) -> timedelta:
    text = fields.text(key)
    if text is None:
        return timedelta()
    span = _SPAN.fullmatch(text.strip().lower())
    seconds = int(span[1]) * _SPANS[span[2]] if span else 0
    if span is None or seconds > 7 * _DAY.total_seconds():
        raise fields.wrong(key, text, 'but it must be a time of at most seven days, such as "15 min" or "2 hours"')
    return timedelta(seconds=seconds)
