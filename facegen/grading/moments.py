"""Moments that somebody or some system wrote down: read without a guess, and shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from facegen.errors import EnvironmentProblem, InputError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?(?:\s*(?P<zone>z|utc|gmt|[+-]\d\d(?::?\d\d)?))?"
)
_MONTH = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*\.?"
_FORMS = tuple(
    re.compile(rf"{day}(?:,?\s+(?:at\s+)?|t){_CLOCK}", re.IGNORECASE | re.ASCII)
    for day in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",  # ISO 8601, and with / or .
        rf"(?:[a-z]+,?\s+)?(?P<day>\d{{1,2}})\s+{_MONTH},?\s+(?P<year>\d{{4}})",  # Moodle's and that of e-mails
        rf"(?:[a-z]+,?\s+)?{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})",  # Canvas's
    )
)
_EPOCH = re.compile(r"\d{10}(?:\.\d{1,9})?|\d{13}", re.ASCII)
_DAY_OR_MONTH = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d\d)\b.*", re.ASCII)
_DAY_ALONE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}", re.ASCII)


class NoMoment(ValueError):
    """A text tells no moment; in words that stand in a sentence after it, without a full stop."""


def read_moment(text: str, zone: tzinfo | None) -> datetime:
    """The moment that a text tells, with its offset.

    Read are ISO 8601 with T or a space (``2026-11-20T23:59:00+09:00``, ``2026-11-20 23:59``; also with / or . between
    year, month and day), seconds since 1970 (or milliseconds, in 13 digits), and dates with an English name for the
    month (``Friday, 20 November 2026, 11:59 PM``). What does not tell day from month, as 03/04/2026, is refused.

    Args:
        text: a cell of a table.
        zone: the time zone of what has no offset; None where none is known, and then such a text is refused.

    Raises:
        NoMoment: there is none, or more than one.
    """
    text = " ".join(text.split())
    if _EPOCH.fullmatch(text):
        seconds = float(text) / (1000 if len(text) == 13 else 1)
        return datetime.fromtimestamp(seconds, timezone.utc)
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        if _DAY_OR_MONTH.fullmatch(text):
            raise NoMoment("does not say which number is the day and which is the month")
        raise NoMoment("is a day without a time" if _DAY_ALONE.fullmatch(text) else "is no time that can be read")
    parts = found.groupdict()
    month = int(parts["month"]) if parts.get("month") else _MONTHS.index(parts["name"].lower()) + 1
    hour = int(parts["hour"])
    if parts["half"] and not 1 <= hour <= 12:
        raise NoMoment("has an hour that no clock has")
    if parts["half"]:
        hour = hour % 12 + 12 * (parts["half"].lower() == "p")
    micro = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    whole = (int(parts["year"]), month, int(parts["day"]), hour, int(parts["minute"]), int(parts["second"] or 0), micro)
    try:
        moment = datetime(*whole)
        return placed(moment if parts["zone"] is None else moment.replace(tzinfo=_offset(parts["zone"])), zone)
    except (ValueError, OverflowError) as problem:
        raise problem if isinstance(problem, NoMoment) else NoMoment(f"is on no calendar ({problem})") from problem


def placed(moment: datetime, zone: tzinfo | None) -> datetime:
    """A moment with an offset: its own, else that of ``zone``.

    Raises:
        NoMoment: it has none and no zone is known; or the zone's clocks are changed then, so that they show that time
            twice or never.
    """
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise NoMoment("has no offset from UTC, so it is another moment in every time zone")
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise NoMoment(f"is shown twice or never by the clocks of {zone}, which are changed then")
    return first


def zone_named(name: str, what: str) -> tzinfo:
    """The time zone ``name``, as ``Asia/Seoul``; ``what`` is what an error says has it.

    Raises:
        InputError: there is none.
        EnvironmentProblem: this machine knows no zones at all.
    """
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:  # of a folder's name, say
        try:
            ZoneInfo("Europe/Paris")
        except ZoneInfoNotFoundError:
            raise EnvironmentProblem(
                f"{what} has the time zone {name!r}, and this machine has no list of time zones.",
                "Install one: pip install tzdata",
            ) from problem
        raise InputError(
            f"{what} has the time zone {name!r}, which is none.", "Write it as in 'Asia/Seoul' or 'Europe/Berlin'."
        ) from problem


def shown(moment: datetime, like: datetime | None = None) -> str:
    """A moment for a sentence, with its offset: that of another moment where one is given."""
    moment = moment if like is None else moment.astimezone(like.tzinfo)
    return moment.isoformat(" ", "seconds" if moment.second or moment.microsecond else "minutes")


def _offset(text: str) -> timezone:
    if text.lower() in ("z", "utc", "gmt"):
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    if int(digits[2:]) > 59:
        raise NoMoment("has an offset that no clock has")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-ahead if text[0] == "-" else ahead)
