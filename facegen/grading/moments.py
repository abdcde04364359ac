"""Points in time that a person or a system wrote down. They are read without guessing."""

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
        rf"(?:[a-z]+,?\s+)?(?P<day>\d{{1,2}})\s+{_MONTH},?\s+(?P<year>\d{{4}})",  # Moodle and e-mails
        rf"(?:[a-z]+,?\s+)?{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})",  # Canvas
    )
)
_EPOCH = re.compile(r"\d{10}(?:\.\d{1,9})?|\d{13}", re.ASCII)
_DAY_OR_MONTH = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d\d)\b.*", re.ASCII)
_DAY_ALONE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}", re.ASCII)


class NoMoment(ValueError):
    """A text does not tell one point in time.

    The message continues a sentence whose subject is the text. It has no full stop.
    """


def read_moment(text: str, zone: tzinfo | None) -> datetime:
    """Parse the point in time that a text tells, with its offset from UTC.

    These forms are read:

    - ISO 8601 with T or a space (``2026-11-20T23:59:00+09:00``, ``2026-11-20 23:59``), also with / or . between year,
      month and day;
    - seconds since 1970, or milliseconds in 13 digits;
    - dates with an English name for the month (``Friday, 20 November 2026, 11:59 PM``).

    A text that does not tell the day from the month, such as 03/04/2026, is refused.

    Args:
        text: A cell of a table.
        zone: The time zone of a text without an offset. With None, such a text is refused.

    Raises:
        NoMoment: The text tells no point in time, or more than one.
    """
    text = " ".join(text.split())
    if _EPOCH.fullmatch(text):
        seconds = float(text) / (1000 if len(text) == 13 else 1)
        return datetime.fromtimestamp(seconds, timezone.utc)
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        if _DAY_OR_MONTH.fullmatch(text):
            raise NoMoment("does not say which number is the day and which is the month")
        raise NoMoment("is a day without a time" if _DAY_ALONE.fullmatch(text) else "cannot be read as a time")
    parts = found.groupdict()
    month = int(parts["month"]) if parts.get("month") else _MONTHS.index(parts["name"].lower()) + 1
    hour = int(parts["hour"])
    if parts["half"] and not 1 <= hour <= 12:
        raise NoMoment("has an hour that does not exist")
    if parts["half"]:
        hour = hour % 12 + 12 * (parts["half"].lower() == "p")
    micro = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    whole = (int(parts["year"]), month, int(parts["day"]), hour, int(parts["minute"]), int(parts["second"] or 0), micro)
    try:
        moment = datetime(*whole)
        return placed(moment if parts["zone"] is None else moment.replace(tzinfo=_offset(parts["zone"])), zone)
    except (ValueError, OverflowError) as problem:
        raise problem if isinstance(problem, NoMoment) else NoMoment(f"does not exist ({problem})") from problem


def placed(moment: datetime, zone: tzinfo | None) -> datetime:
    """Return a point in time with an offset: its own, or that of ``zone``.

    Raises:
        NoMoment: It has no offset and no zone is known, or the clocks of the zone show this time twice or never
            because they are changed then.
    """
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise NoMoment("has no offset from UTC, so it differs between time zones")
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise NoMoment(f"occurs twice or never in {zone}, where the clocks are changed then")
    return first


def zone_named(name: str, what: str) -> tzinfo:
    """Return the time zone ``name``, for example ``Asia/Seoul``. ``what`` names the file in error messages.

    Raises:
        InputError: There is no such zone.
        EnvironmentProblem: This machine has no list of time zones.
    """
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:  # OSError: the name of a folder of zones
        try:
            ZoneInfo("Europe/Paris")
        except ZoneInfoNotFoundError:
            raise EnvironmentProblem(
                f"{what} has the time zone {name!r}, but this machine has no list of time zones.",
                "Install one: pip install tzdata",
            ) from problem
        raise InputError(
            f"{what} has an unknown time zone, {name!r}.", "Write a name such as 'Asia/Seoul' or 'Europe/Berlin'."
        ) from problem


def shown(moment: datetime, like: datetime | None = None) -> str:
    """Format a point in time with its offset, for a sentence. If ``like`` is given, use the offset of ``like``."""
    moment = moment if like is None else moment.astimezone(like.tzinfo)
    return moment.isoformat(" ", "seconds" if moment.second or moment.microsecond else "minutes")


def _offset(text: str) -> timezone:
    if text.lower() in ("z", "utc", "gmt"):
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    if int(digits[2:]) > 59:
        raise NoMoment("has an offset that does not exist")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-ahead if text[0] == "-" else ahead)
