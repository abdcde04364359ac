"""Times as people and systems write them: read, or refused in words."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.grading.moments import NoMoment, placed, read_moment, shown

SEOUL = ZoneInfo("Asia/Seoul")
#: The moment that all of the texts below tell.
MOMENT = datetime(2026, 11, 20, 14, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T23:59:00+09:00",
        "2026-11-20T14:59:00Z",
        "2026-11-20 14:59:00 UTC",
        "2026-11-20 23:59",
        "  2026-11-20   23:59:00.000 ",
        "2026/11/20 23:59",
        "2026.11.20 23:59",
        "2026-11-20 11:59 PM",
        "2026-11-20T23:59+0900",
        "2026-11-20T23:59+09",
        "2026-11-20T09:59:00-05:00",
        "1795186740",
        "1795186740000",
        "1795186740.0",
        "Friday, 20 November 2026, 11:59 PM",
        "Fri, 20 Nov 2026 23:59:00 +0900",
        "Nov 20, 2026 11:59pm",
        "Nov 20, 2026 at 11:59pm",
    ],
)
def test_a_moment_is_read(text: str) -> None:
    assert read_moment(text, SEOUL) == MOMENT


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("03/04/2026", "which number is the day"),
        ("03/04/2026 10:00", "which number is the day"),
        ("20.11.2026 23:59", "which number is the day"),
        ("11/20/26 23:59", "which number is the day"),
        ("2026-11-20", "a day without a time"),
        ("tomorrow", "cannot be read as a time"),
        ("2026-11-20 23:59 KST", "cannot be read as a time"),
        ("2026-11/20 23:59", "cannot be read as a time"),
        ("20261120", "cannot be read as a time"),
        ("46346.99930555556", "cannot be read as a time"),  # Excel's days since 1900
        ("2026-13-20 23:59", "does not exist"),
        ("2026-02-30 23:59", "does not exist"),
        ("2026-11-20 24:00", "does not exist"),
        ("2026-11-20 13:00 PM", "an hour that does not exist"),
        ("2026-11-20 23:59+09:75", "an offset that does not exist"),
        ("2026-11-20 23:59+99:00", "does not exist"),
        ("２０２６-11-20 23:59", "cannot be read as a time"),
    ],
)
def test_what_is_none_or_two_is_refused(text: str, why: str) -> None:
    with pytest.raises(NoMoment, match=why):
        read_moment(text, SEOUL)


def test_without_a_zone_an_offset_is_needed() -> None:
    assert read_moment("2026-11-20 14:59Z", None) == MOMENT
    with pytest.raises(NoMoment, match="no offset from UTC"):
        read_moment("2026-11-20 23:59", None)


@pytest.mark.parametrize(("hour", "half", "expected"), [(12, "AM", 0), (1, "am", 1), (12, "p.m.", 12), (11, "PM", 23)])
def test_the_halves_of_a_day(hour: int, half: str, expected: int) -> None:
    assert read_moment(f"2026-11-20 {hour}:30 {half}", timezone.utc).hour == expected


@pytest.mark.parametrize("text", ["2026-10-25T02:30", "2026-03-29T02:30"])
def test_a_time_that_clocks_show_twice_or_never_is_refused(text: str) -> None:
    with pytest.raises(NoMoment, match="twice or never in Europe/Berlin"):
        placed(datetime.fromisoformat(text), ZoneInfo("Europe/Berlin"))


@given(st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)), st.integers(-23 * 60, 23 * 60))
def test_iso_8601_comes_back_as_it_was(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read_moment(moment.isoformat(), None) == moment


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(NoMoment):
        assert read_moment(text, timezone.utc).tzinfo is not None


def test_a_moment_is_shown_with_its_offset_or_with_anothers() -> None:
    seoul = MOMENT.astimezone(SEOUL)
    assert shown(MOMENT) == "2026-11-20 14:59+00:00"
    assert shown(MOMENT, seoul) == "2026-11-20 23:59+09:00"
    assert shown(MOMENT + timedelta(seconds=1)) == "2026-11-20 14:59:01+00:00"
