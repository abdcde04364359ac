"""A course's rubric, a TOML file: how many points a submission earns, and the reasons in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from facegen import console
from facegen.errors import InputError
from facegen.grading.lateness import MOST_POINTS, Late, digits, late_of, rounded
from facegen.grading.moments import zone_named
from facegen.grading.outcome import Outcome
from facegen.grading.rows import printed
from facegen.grading.toml_fields import Fields
from facegen.scoring.score import Score
from facegen.toml_file import read_toml

_KEYS = ("value", "benefit_of_doubt", "rejected", "missing", "timezone", "bands", "late")
_BAND_KEYS = ("below", "points")
_MOST_VALUE = 1_000_000
#: The values of a submission that can earn points.
VALUES = ("public", "private")


@dataclass(frozen=True)
class Band:
    """A band of values, from the end of the last band (0 for the first) up to, but not including, ``below``.

    Attributes:
        below: The end of the band; None for the last band, which has no end.
        points: The points at the beginning and at the end of the band. They change linearly in between.
    """

    below: Decimal | None
    points: tuple[Decimal, Decimal]


@dataclass(frozen=True)
class Award:
    """The points of a submission.

    Attributes:
        points: The points, from 0 to 1,000 in steps of 0.01.
        reasons: The reasons for the points, in sentences.
        days_late: The number of days begun after the deadline; 0 if in time, None if that is not known or there is no
            deadline.
        notes: Sentences about what is not known.
    """

    points: float
    reasons: tuple[str, ...]
    days_late: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rubric:
    """The rules by which a submission earns points.

    Attributes:
        bands: The bands of the value, rising.
        value: The value that earns points, ``"public"`` or ``"private"``; None for the one that ranks.
        benefit_of_doubt: Whether the lower end of the value's 95% interval earns the points.
        rejected, missing: The points of a rejected submission, and of a student who handed in nothing.
        zone: The time zone of times without an offset; None if there is none.
        late: The cost of lateness; None if lateness costs nothing.
    """

    bands: tuple[Band, ...]
    value: str | None = None
    benefit_of_doubt: bool = False
    rejected: Decimal = Decimal(0)
    missing: Decimal = Decimal(0)
    zone: tzinfo | None = None
    late: Late | None = field(default=None)

    def award(self, outcome: Outcome, ranked_by: str = "public") -> Award:
        """Return the points of an outcome: graded, rejected or missing.

        Raises:
            InputError: The private value earns points, but there is none.
        """
        if outcome.graded is None:
            points = self.missing if outcome.rejection is None else self.rejected
            what = (
                "Nothing was handed in" if outcome.rejection is None else f"Rejected ({outcome.rejection.code.value})"
            )
            return Award(float(points), (f"{what}: {digits(points)} points.",))
        which = self.value or ranked_by
        score = outcome.graded.score if which == "public" else outcome.graded.private
        if score is None:
            raise InputError(
                f"The rubric gives points for the private value, but {outcome.file} has none.",
                "Name a private reference with --private, or remove 'value' from the rubric.",
            )
        points, reasons, notes = self._points_of(score)
        if self.late is None:
            return Award(float(points), tuple(reasons), None, tuple(notes))
        at: datetime | None = outcome.submitted_at
        if at is None:
            notes.append("The time at which it was handed in is not known, so no points were taken off for lateness.")
            return Award(float(points), tuple(reasons), None, tuple(notes))
        left, sentence = self.late.reduced(points, outcome.student_number, at)
        if sentence is not None:
            reasons.append(sentence)
        return Award(float(left), tuple(reasons), self.late.days(outcome.student_number, at), tuple(notes))

    def _points_of(self, score: Score) -> tuple[Decimal, list[str], list[str]]:
        """Return the points of a score, the reasons and the notes."""
        if not self.benefit_of_doubt:
            points, how = self.points_of(score.value)
            return points, [f"{score.label} {printed(score)} {how}."], []
        if score.interval95 is None:
            points, how = self.points_of(score.value)
            note = "The value has no 95% interval, so the value itself counted."
            return points, [f"{score.label} {printed(score)} {how}."], [note]
        low = max(0.0, min(score.value, score.interval95[0]))
        points, how = self.points_of(low)
        counted = f"counts as {low:.4f}, the lower end of its 95% interval, which {how}"
        return points, [f"{score.label} {printed(score)} {counted}."], []

    def points_of(self, value: float) -> tuple[Decimal, str]:
        """Return the points of a value, and where the value lies, as the end of a sentence about it.

        The value is rounded to four decimal places, as it is printed, so that a reader can recompute the points. At
        the edge
        of a band the unrounded value decides, as it does for a target: 19.99999 is below 20, although it is printed
        as 20.0000.
        """
        shown, begin = Decimal(f"{value:.4f}"), Decimal(0)
        for band in self.bands:
            if band.below is None:
                points = rounded(band.points[0])
                where = f"is not below {digits(begin)}" if begin else "earns what every value earns"
                return points, f"{where}: {digits(points)} points"
            if Decimal(value) < band.below:
                first, last = band.points
                points = rounded(first + (last - first) * (shown - begin) / (band.below - begin))
                where = f"is below {digits(band.below)}"
                if begin:
                    where = f"lies from {digits(begin)} to below {digits(band.below)}"
                if shown == band.below:
                    where += " before it is rounded"
                return points, f"{where}: {digits(points)} points"
            begin = band.below
        return Decimal(0), f"is not below {digits(begin)}, where the rubric ends: 0 points"


def read_rubric(path: Path) -> Rubric:
    """Read the rubric from a TOML file.

    A rubric that gives more points to a larger value leads to a warning.

    Raises:
        InputError: The file does not exist or is not TOML, or a key is unknown, missing, of the wrong type or out of
            range.
    """
    what = f"The rubric {path}"
    fields = Fields(read_toml(path, what), what)
    fields.require_known(_KEYS)
    value = fields.text("value")
    if value is not None and value not in VALUES:
        raise fields.wrong("value", value, "but it must be one of: public, private")
    name = fields.text("timezone")
    zone = None if name is None else zone_named(name, what)
    late = fields.table("late")
    bands = _bands(fields)
    _warn_of_rising(bands, what)
    return Rubric(
        bands=bands,
        value=value,
        benefit_of_doubt=fields.flag("benefit_of_doubt"),
        rejected=fields.number("rejected", Decimal(0), most=MOST_POINTS) or Decimal(0),
        missing=fields.number("missing", Decimal(0), most=MOST_POINTS) or Decimal(0),
        zone=zone,
        late=None if late is None else late_of(late, zone),
    )


def _bands(fields: Fields) -> tuple[Band, ...]:
    given = fields.values.get("bands")
    if not isinstance(given, list) or not given or not all(isinstance(band, dict) for band in given):
        raise InputError(
            f"{fields.what} has no bands.", "Add [[bands]], and below it, for example, below = 20 and points = 100."
        )
    bands: list[Band] = []
    for place, values in enumerate(given, 1):
        band = Fields(values, f"Band {place} of {fields.what[:1].lower()}{fields.what[1:]}")
        band.require_known(_BAND_KEYS, elsewhere=[key for key in _KEYS if key != "bands"])
        below = band.number("below", None, most=_MOST_VALUE, above=True)
        if below is None and place < len(given):
            raise InputError(f"{band.what} has no 'below'. Only the last band may omit it.", "Add the end of the band.")
        before = bands[-1].below if bands else None
        if below is not None and before is not None and below <= before:
            raise band.wrong(
                "below", values["below"], f"but the last band ends at {digits(before)}", "Sort the bands by 'below'."
            )
        bands.append(Band(below, _points(band)))
    return tuple(bands)


def _points(band: Fields) -> tuple[Decimal, Decimal]:
    if "points" not in band.values:
        raise InputError(f"{band.what} has no points.", "Add points = 100, or points = [100, 60] for a straight line.")
    value: Any = band.values["points"]
    if not isinstance(value, list):
        points = band.as_number("points", value, most=MOST_POINTS)
        return points, points
    if len(value) != 2:
        raise band.wrong("points", value, "but it must be one number, or two: at the beginning and at the end")
    if "below" not in band.values:
        raise band.wrong("points", value, "but a straight line needs an end", "Add 'below', or give one number.")
    first, last = (band.as_number("points", each, most=MOST_POINTS) for each in value)
    return first, last


def _warn_of_rising(bands: tuple[Band, ...], what: str) -> None:
    """Warn if points rise with the value. Smaller values are better, so this is probably a mistake."""
    ends = [points for band in bands for points in band.points]
    if any(after > before for before, after in pairwise(ends)):
        console.warn(f"{what} gives more points to a larger value in some band, although smaller values are better.")
