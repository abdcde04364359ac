"""A course's rubric: how many points a submission earns, from a TOML file; and why, in sentences."""

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
#: Which of a submission's values earns points.
VALUES = ("public", "private")


@dataclass(frozen=True)
class Band:
    """Values from the last band's end (0 for the first) up to ``below``, which is not in it.

    Attributes:
        below: where it ends; None for the last one, which has no end.
        points: at its beginning and at its end; between them they go in a straight line.
    """

    below: Decimal | None
    points: tuple[Decimal, Decimal]


@dataclass(frozen=True)
class Award:
    """What a submission earns.

    Attributes:
        points: from 0 to 1,000, in steps of 0.01.
        reasons: how they come about, in sentences.
        days_late: begun days after the deadline; 0 in time, None where that is not known or there is no deadline.
        notes: what is not known, in sentences.
    """

    points: float
    reasons: tuple[str, ...]
    days_late: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rubric:
    """How many points a submission earns.

    Attributes:
        bands: of the value, rising.
        value: which value earns points, ``"public"`` or ``"private"``; None for the one that ranks.
        benefit_of_doubt: whether the lower end of the value's 95% interval earns them.
        rejected, missing: points of a rejected submission, and of a student who handed in none.
        zone: of times without an offset; None where there is none.
        late: what lateness costs; None for nothing.
    """

    bands: tuple[Band, ...]
    value: str | None = None
    benefit_of_doubt: bool = False
    rejected: Decimal = Decimal(0)
    missing: Decimal = Decimal(0)
    zone: tzinfo | None = None
    late: Late | None = field(default=None)

    def award(self, outcome: Outcome, ranked_by: str = "public") -> Award:
        """What an outcome earns: graded, rejected or missing.

        Raises:
            InputError: the private value earns points, and there is none.
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
                f"The rubric gives points for the private value, which {outcome.file} does not have.",
                "Name the private reference, or leave value out of the rubric.",
            )
        points, reasons, notes = self._points_of(score)
        if self.late is None:
            return Award(float(points), tuple(reasons), None, tuple(notes))
        at: datetime | None = outcome.submitted_at
        if at is None:
            notes.append("When it was handed in is not known, so nothing was taken off for lateness.")
            return Award(float(points), tuple(reasons), None, tuple(notes))
        left, sentence = self.late.reduced(points, outcome.student_number, at)
        if sentence is not None:
            reasons.append(sentence)
        return Award(float(left), tuple(reasons), self.late.days(outcome.student_number, at), tuple(notes))

    def _points_of(self, score: Score) -> tuple[Decimal, list[str], list[str]]:
        """Points of a value, with the reasons and the notes."""
        if not self.benefit_of_doubt:
            points, how = self.points_of(score.value)
            return points, [f"{score.label} {printed(score)} {how}."], []
        if score.interval95 is None:
            points, how = self.points_of(score.value)
            note = "The value has no 95% interval, so the value itself counted."
            return points, [f"{score.label} {printed(score)} {how}."], [note]
        low = max(0.0, min(score.value, score.interval95[0]))
        points, how = self.points_of(low)
        return points, [f"{score.label} {printed(score)} is {low:.4f} with the benefit of doubt, which {how}."], []

    def points_of(self, value: float) -> tuple[Decimal, str]:
        """Points of a value, and where it lies, to follow it in a sentence.

        The value is taken as it is printed, with four digits behind the point, so that who reads it can recompute the
        points. At the edge of a band the value itself decides, as it does of a target: 19.99999 is below 20, though
        it is printed as 20.0000.
        """
        shown, begin = Decimal(f"{value:.4f}"), Decimal(0)
        for band in self.bands:
            if band.below is None:
                points = rounded(band.points[0])
                where = f"is not below {digits(begin)}" if begin else "earns what every value does"
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
    """The rubric in a TOML file.

    A rubric in which a larger value earns more is warned of.

    Raises:
        InputError: no such file, no TOML, or a key that is unknown, missing, of another type or out of its range.
    """
    what = f"The rubric {path}"
    fields = Fields(read_toml(path, what), what)
    fields.require_known(_KEYS)
    value = fields.text("value")
    if value is not None and value not in VALUES:
        raise fields.wrong("value", value, "and should be one of: public, private")
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
            f"{fields.what} has no bands of values.", "Add [[bands]], and under it below = 20 and points = 100, say."
        )
    bands: list[Band] = []
    for place, values in enumerate(given, 1):
        band = Fields(values, f"Band {place} of {fields.what[:1].lower()}{fields.what[1:]}")
        band.require_known(_BAND_KEYS, elsewhere=[key for key in _KEYS if key != "bands"])
        below = band.number("below", None, most=_MOST_VALUE, above=True)
        if below is None and place < len(given):
            raise InputError(f"{band.what} has no 'below', and only the last band may.", "Say where it ends.")
        before = bands[-1].below if bands else None
        if below is not None and before is not None and below <= before:
            raise band.wrong(
                "below", values["below"], f"and the band before it ends at {digits(before)}", "Let the bands rise."
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
        raise band.wrong("points", value, "and should be one number, or two: at its beginning and at its end")
    if "below" not in band.values:
        raise band.wrong("points", value, "and a straight line needs an end", "Say below, or give one number.")
    first, last = (band.as_number("points", each, most=MOST_POINTS) for each in value)
    return first, last


def _warn_of_rising(bands: tuple[Band, ...], what: str) -> None:
    """Smaller values are better, so points that rise with them are a slip."""
    ends = [points for band in bands for points in band.points]
    if any(after > before for before, after in pairwise(ends)):
        console.warn(f"{what} gives more points to a larger value somewhere, though smaller is better.")
