"""Points of a value, worked by hand; what a rubric may say; and what holds of every rubric."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import InputError
from facegen.grading.lateness import Amount, Late
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.rubric import Band, Rubric, read_rubric
from facegen.scoring.score import Score
from facegen.submission.rules import Code, Rejection

Write = Callable[[str], Path]
BANDS = "[[bands]]\nbelow = 20.0\npoints = 100\n[[bands]]\nbelow = 40.0\npoints = [100, 60]\n[[bands]]\npoints = 20\n"
ONE = "[[bands]]\npoints = 100\n"
LATE = "[late]\ndeadline = 2026-11-20T23:59:00+09:00\n"
DEADLINE = datetime(2026, 11, 20, 23, 59, tzinfo=timezone(timedelta(hours=9)))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str) -> Path:
        path = tmp_path / "rubric.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def outcome(
    value: float = 10.0,
    at: datetime | None = None,
    interval: tuple[float, float] | None = None,
    private: float | None = None,
    number: str = "s1",
) -> Outcome:
    score = Score("fd", value, 24, 8, "mean", "0" * 64, 9, "1" * 64, interval95=interval)
    hidden = None if private is None else Score("fd", private, 24, 8, "mean", "0" * 64, 9, "1" * 64)
    found = GradedSubmission(score, (), None, (), (), b"", private=hidden)  # type: ignore[arg-type]
    return Outcome(f"{number}.tar.gz", number, "2" * 64, graded=found, submitted_at=at)


class TestBands:
    @pytest.mark.parametrize(
        ("value", "points"),
        [
            (0.0, 100),
            (19.9999, 100),
            (20.0, 100),  # the beginning of the line from 100 to 60
            (23.41, 93.18),  # 100 − 3.41 · 40 / 20
            (30.0, 80),
            (39.9999, 60),
            (40.0, 20),
            (1e9, 20),
        ],
    )
    def test_points_by_hand(self, write: Write, value: float, points: float) -> None:
        assert read_rubric(write(BANDS)).award(outcome(value)).points == points

    @pytest.mark.parametrize(
        ("value", "points"), [(20.0, 50), (20.00001, 50), (19.99999, 100), (19.99995, 100), (19.9999, 100)]
    )
    def test_the_edge_is_not_below_itself_as_a_target_is_not(self, write: Write, value: float, points: float) -> None:
        text = "[[bands]]\nbelow = 20\npoints = 100\n[[bands]]\npoints = 50\n"
        assert read_rubric(write(text)).award(outcome(value)).points == points

    def test_a_value_that_is_below_and_printed_as_the_edge_is_explained(self, write: Write) -> None:
        (reason,) = read_rubric(write(BANDS)).award(outcome(19.99999)).reasons
        assert reason == "mean FD 20.0000 is below 20 before it is rounded: 100 points."

    def test_the_line_is_that_of_the_printed_value(self, write: Write) -> None:
        text = "[[bands]]\nbelow = 1\npoints = [1000, 0]\n[[bands]]\npoints = 0\n"
        rubric = read_rubric(write(text))
        assert rubric.award(outcome(0.12344)).points == 876.6  # of 0.1234; of 0.12344 it would be 876.56

    def test_halves_are_rounded_up(self, write: Write) -> None:
        text = "[[bands]]\nbelow = 8\npoints = [0.01, 0]\n[[bands]]\npoints = 0\n"
        assert read_rubric(write(text)).award(outcome(4.0)).points == 0.01

    def test_beyond_the_last_band_there_is_nothing(self, write: Write) -> None:
        award = read_rubric(write("[[bands]]\nbelow = 20\npoints = 7\n")).award(outcome(20.0))
        assert (award.points, award.reasons[0]) == (
            0,
            "mean FD 20.0000 is not below 20, where the rubric ends: 0 points.",
        )

    def test_the_reason_says_between_what_it_lies(self, write: Write) -> None:
        (reason,) = read_rubric(write(BANDS)).award(outcome(23.41)).reasons
        assert reason == "mean FD 23.4100 lies from 20 to below 40: 93.18 points."

    def test_rejected_and_missing_have_their_own(self, write: Write) -> None:
        rubric = read_rubric(write(f"rejected = 5\nmissing = 1\n{BANDS}"))
        refused = Outcome("s1.zip", None, None, rejection=Rejection(Code.BAD_NAME, "It is."))
        assert [rubric.award(each).points for each in (refused, Outcome("", "s2", None))] == [5, 1]
        assert rubric.award(refused).reasons == ("Rejected (bad_name): 5 points.",)


class TestWhichValue:
    @pytest.mark.parametrize(
        ("text", "ranked_by", "points"),
        [("", "public", 100), ("", "private", 60), ('value = "public"\n', "private", 100)],
    )
    def test_the_one_that_ranks_unless_it_is_named(self, write: Write, text: str, ranked_by: str, points: int) -> None:
        rubric = read_rubric(write(text + BANDS.replace("[100, 60]", "60")))
        assert rubric.award(outcome(10.0, private=30.0), ranked_by).points == points

    def test_one_that_is_not_there_is_an_error(self, write: Write) -> None:
        with pytest.raises(InputError, match=r"private value, but s1\.tar\.gz has none"):
            read_rubric(write(f'value = "private"\n{BANDS}')).award(outcome())

    def test_the_lower_end_of_the_interval_in_doubt(self, write: Write) -> None:
        award = read_rubric(write(f"benefit_of_doubt = true\n{BANDS}")).award(outcome(20.5, interval=(19.5, 21.5)))
        assert award.points == 100
        assert award.reasons == (
            "mean FD 20.5000 counts as 19.5000, the lower end of its 95% interval, which is below 20: 100 points.",
        )

    def test_without_an_interval_the_value_and_a_note(self, write: Write) -> None:
        award = read_rubric(write(f"benefit_of_doubt = true\n{BANDS}")).award(outcome(30.0))
        assert (award.points, award.notes) == (80, ("The value has no 95% interval, so the value itself counted.",))


class TestLateness:
    @pytest.mark.parametrize(
        ("after", "days", "points"),
        [
            (timedelta(days=-9), 0, 100),
            (timedelta(0), 0, 100),
            (timedelta(microseconds=1), 1, 90),
            (timedelta(days=1), 1, 90),
            (timedelta(days=1, seconds=1), 2, 80),
            (timedelta(days=4, seconds=1), 5, 50),
            (timedelta(days=5, seconds=1), 6, 50),  # the most
            (timedelta(days=7, seconds=1), 8, 3),  # too late
        ],
    )
    def test_days_by_hand(self, write: Write, after: timedelta, days: int, points: float) -> None:
        text = f"{ONE}{LATE}per_day = 10\nmost = 50\ntoo_late_after = 7\ntoo_late = 3\n"
        award = read_rubric(write(text)).award(outcome(at=DEADLINE + after))
        assert (award.days_late, award.points) == (days, points)

    @pytest.mark.parametrize(("minutes", "days"), [(15, 0), (15.1, 1)])
    def test_grace_forgives_and_does_not_move_the_deadline(self, write: Write, minutes: float, days: int) -> None:
        rubric = read_rubric(write(f'{ONE}{LATE}per_day = 10\ngrace = "15 min"\n'))
        assert rubric.award(outcome(at=DEADLINE + timedelta(minutes=minutes))).days_late == days
        assert rubric.award(outcome(at=DEADLINE + timedelta(days=1, minutes=1))).days_late == 2

    def test_percent_are_of_the_points_that_the_value_earns(self, write: Write) -> None:
        rubric = read_rubric(write(f'{BANDS}{LATE}per_day = "10%"\n'))
        award = rubric.award(outcome(23.41, at=DEADLINE + timedelta(hours=30)))
        assert award.points == 74.54  # 93.18 − 18.64
        assert award.reasons[1] == (
            "2 days late (the deadline was 2026-11-20 23:59+09:00, and it was handed in 2026-11-22 05:59+09:00): "
            "−18.64 points."
        )

    def test_a_student_with_more_time_has_it(self, write: Write) -> None:
        text = f"{ONE}{LATE}per_day = 10\n[late.extensions]\nS1 = 2026-11-22T23:59:00+09:00\n"
        rubric = read_rubric(write(text))
        late = DEADLINE + timedelta(days=2)
        assert [rubric.award(outcome(at=late, number=number)).points for number in ("s1", "s2")] == [100, 80]

    def test_points_do_not_fall_below_none(self, write: Write) -> None:
        award = read_rubric(write(f"{ONE}{LATE}per_day = 60\n")).award(outcome(at=DEADLINE + timedelta(days=9)))
        assert award.points == 0
        assert award.reasons[1].endswith(": −100 points (all that were earned).")

    def test_an_unknown_time_costs_nothing_and_is_noted(self, write: Write) -> None:
        award = read_rubric(write(f"{ONE}{LATE}per_day = 10\n")).award(outcome())
        assert (award.points, award.days_late) == (100, None)
        assert award.notes == (
            "The time at which it was handed in is not known, so no points were taken off for lateness.",
        )

    def test_a_deadline_without_an_offset_is_in_the_rubrics_zone(self, write: Write) -> None:
        late = read_rubric(write(f'timezone = "Asia/Seoul"\n{ONE}{LATE.replace("+09:00", "")}per_day = 1\n')).late
        assert late is not None and late.deadline == DEADLINE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no bands"),
        ("bands = 3\n", "has no bands"),
        (f"rejectd = 0\n{BANDS}", "unknown key 'rejectd'. Did you mean 'rejected'"),
        (f"{BANDS}rejected = 0\n", "Band 3 .* 'rejected'. Move 'rejected' to the top of the file"),
        (BANDS.replace("below = 40.0", "blow = 40.0"), "Band 2 .* 'blow'. Did you mean 'below'"),
        (BANDS.replace("40.0", "20.0"), "Band 2 .* below = 20.0, but the last band ends at 20"),
        (BANDS.replace("below = 40.0\n", ""), "Band 2 .* has no 'below'. Only the last band may"),
        (BANDS.replace("20.0", "nan"), "below = nan, but it must be above 0"),
        (BANDS.replace("20.0", "0"), "below = 0, but it must be above 0"),
        (BANDS.replace("20.0", "true"), "below = true, which is not a number"),
        (BANDS.replace("20.0", "20.00001"), "at most 4 decimal places"),
        (BANDS.replace("= 100\n", "= -1\n"), "points = -1, but it must be from 0 to 1,000"),
        (BANDS.replace("[100, 60]", "[100, 60, 20]"), "must be one number, or two"),
        (BANDS.replace("points = 20\n", "points = [20, 0]\n"), "a straight line needs an end"),
        (BANDS.replace("points = 20\n", ""), "Band 3 .* has no points"),
        (f'value = "both"\n{BANDS}', "must be one of: public, private"),
        (f"benefit_of_doubt = 1\n{BANDS}", "must be true or false"),
        (f"timezone = 9\n{BANDS}", "must be a text in quotes"),
        (f'timezone = "Asia/Soul"\n{BANDS}', "unknown time zone, 'Asia/Soul'"),
        (f"late = 10\n{BANDS}", r"must be a table: \[late\]"),
        (f"{BANDS}[late]\nper_day = 10\n", "has no deadline"),
        (f"{BANDS}{LATE}", "has a deadline but no penalty"),
        (f"{BANDS}{LATE}most = 10\ntoo_late_after = 1\n", "has most but no per_day"),
        (f"{BANDS}{LATE}per_day = 1\ntoo_late = 1\n", "has too_late but no too_late_after"),
        (f"{BANDS}{LATE}perday = 1\n", "'perday'. Did you mean 'per_day'"),
        (f'{BANDS}{LATE}per_day = "10"\n', 'in quotes, "0%" to "100%"'),
        (f'{BANDS}{LATE}per_day = "101%"\n', 'in quotes, "0%" to "100%"'),
        (f'{BANDS}{LATE}per_day = 1\ngrace = "soon"\n', "a time of at most seven days"),
        (f'{BANDS}{LATE}per_day = 1\ngrace = "8 days"\n', "a time of at most seven days"),
        (f"{BANDS}{LATE}too_late_after = 1.5\n", "must be a whole number"),
        (f"{BANDS}[late]\nper_day = 1\ndeadline = 2026-11-20T23:59:00\n", "no offset from UTC, .* timezone = "),
        (f"{BANDS}[late]\nper_day = 1\ndeadline = 2026-11-20\n", "a date with a time"),
        (f'{BANDS}[late]\nper_day = 1\ndeadline = "2026-11-20T23:59:00Z"\n', "not in quotes"),
        (
            f'timezone = "Europe/Berlin"\n{BANDS}[late]\nper_day = 1\ndeadline = 2026-10-25T02:30:00\n',
            "twice or never in Europe/Berlin",
        ),
        (f"{BANDS}{LATE}per_day = 1\n[late.extensions]\ns1 = 3\n", r"\[extensions\] .* s1 = 3, but it must be a date"),
        (
            f"{BANDS}{LATE}per_day = 1\n[late.extensions]\ns1 = 2026-11-20T23:59:00Z\nS1 = 2026-11-20T23:59:00Z\n",
            "'S1' twice",
        ),
    ],
)
def test_what_no_rubric_may_say(write: Write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_rubric(write(text))


def test_more_points_for_a_larger_value_are_warned_of(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    read_rubric(write(BANDS))
    assert capsys.readouterr().err == ""
    read_rubric(write(BANDS.replace("[100, 60]", "[60, 100]")))
    assert "gives more points to a larger value" in capsys.readouterr().err


POINTS = st.decimals(0, 100, places=2)
#: Rubrics of falling points over rising bands, the last without an end.
FALLING = (
    st.integers(0, 4)
    .flatmap(
        lambda count: st.tuples(
            st.lists(st.decimals("0.01", 200, places=2), min_size=count, max_size=count, unique=True).map(sorted),
            st.lists(POINTS, min_size=2 * count + 1, max_size=2 * count + 1).map(
                lambda each: sorted(each, reverse=True)
            ),
        )
    )
    .map(
        lambda drawn: Rubric(
            (
                *(Band(below, (drawn[1][2 * at], drawn[1][2 * at + 1])) for at, below in enumerate(drawn[0])),
                Band(None, (drawn[1][-1], drawn[1][-1])),
            )
        )
    )
)
VALUES = st.floats(0, 250, allow_nan=False)


class TestEveryRubric:
    @given(FALLING, VALUES, VALUES)
    def test_a_smaller_value_never_earns_less(self, rubric: Rubric, one: float, other: float) -> None:
        smaller, larger = sorted((one, other))
        assert rubric.points_of(smaller)[0] >= rubric.points_of(larger)[0]

    @given(FALLING, VALUES)
    def test_points_lie_between_the_least_and_the_most(self, rubric: Rubric, value: float) -> None:
        ends = [points for band in rubric.bands for points in band.points]
        assert min(ends) <= rubric.points_of(value)[0] <= max(ends)

    @given(
        st.decimals(0, 100, places=2),
        st.builds(Amount, st.decimals(0, 100, places=1), st.booleans()),
        st.none() | st.builds(Amount, st.decimals(0, 100, places=1), st.booleans()),
        st.none() | st.integers(0, 9),
        st.decimals(0, 100, places=0),
        *[st.timedeltas(timedelta(-2), timedelta(20))] * 2,
    )
    def test_who_is_earlier_never_earns_less(
        self,
        points: Decimal,
        per_day: Amount,
        most: Amount | None,
        after: int | None,
        too_late: Decimal,
        one: timedelta,
        other: timedelta,
    ) -> None:
        late = Late(DEADLINE, per_day, most, too_late_after=after, too_late=too_late)
        first, second = (late.reduced(points, "s1", DEADLINE + span)[0] for span in sorted((one, other)))
        assert points >= first >= second >= 0
