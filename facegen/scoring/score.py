"""A score: a Fréchet distance with everything that is needed to know what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from facegen.data.origin import Origin
from facegen.extractors.labels import metric_label
from facegen.notebook.cards import card, facts, notes, verdict
from facegen.scoring.metric_table import metric_line

SCHEMA = 1
FID_TARGET = 20.0
_WORD, _NUMBER, _COUNT, _NONE = (str,), (int, float), (int,), type(None)
#: What the fields of a score are, where one is read from a file.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("metric", "extractor", "weights_sha256", "reference_sha256"), _WORD),
    **dict.fromkeys(("sampling", "trained_against"), (*_WORD, _NONE)),
    **dict.fromkeys(("n", "reference_n"), (*_COUNT, _NONE)),
    **dict.fromkeys(("target", "floor", "floor_spread"), (*_NUMBER, _NONE)),
    "value": _NUMBER,
    "dims": _COUNT,
    "passed": (bool, _NONE),
    "metrics": (Mapping,),
}


@dataclass(frozen=True)
class Score:
    """A measured distance between images and a reference; smaller is better.

    Attributes:
        metric: ``"fid"`` for the published Inception's 2,048 features only, otherwise ``"fd"``.
        value: the distance, ≥ 0.
        n: how many images were scored; None where they came as statistics that do not tell.
        dims: the number of features of an image.
        extractor: what made them: ``inception-2015-12-05``, ``effnet-lite0``, ``dinov2-vitl14``; ``inception-custom``
            and the like with other weights; ``custom:package.module:callable``, a function of the user's own.
        weights_sha256: of its weights file; of a user's own function, of its source.
        reference_n: how many images the reference sums up; None where its file does not tell.
        reference_sha256: the reference's content hash.
        target: the value to stay below; None where there is none.
        passed: whether ``value < target``; None without a target.
        floor: what as many real images score on average, where it was measured.
        floor_spread: the standard deviation of that from draw to draw; None where there was one draw.
        floor_draws: each draw's value.
        interval95: a 95% interval of ``value``, where it was measured.
        warnings: what spoils the comparison, in whole sentences.
        metrics: the JSON of the other metrics by key, where they were measured (:mod:`facegen.scoring.metric_table`).
        sampling: how the images say that they were drawn; None for plain sampling, and where they say nothing.
        trained_against: the frozen network whose features the images' generator was trained against, as they say, by
            the name of its extractor; None where there was none, and where they say nothing.
    """

    metric: str
    value: float
    n: int | None
    dims: int
    extractor: str
    weights_sha256: str
    reference_n: int | None
    reference_sha256: str
    target: float | None = None
    passed: bool | None = None
    floor: float | None = None
    floor_spread: float | None = None
    floor_draws: tuple[float, ...] = ()
    interval95: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sampling: str | None = None
    trained_against: str | None = None

    @property
    def label(self) -> str:
        """What ``value`` is called: ``"FID"``, ``"FD_DINOv2"``, ``"effnet-lite0 FD"``, ``"inception-custom FD"``."""
        return metric_label(self.extractor, self.dims)

    @property
    def flattery(self) -> str | None:
        """The warning that the generator was trained against the very network that measures here; None where not."""
        if self.trained_against is None or self.extractor not in self.trained_against:
            return None
        which = "The images" if self.trained_against == self.extractor else "Some of the images"
        elsewhere = "; FID is measured with another network, Inception, but both learned on ImageNet"
        return (
            f"{which} come from a generator that was trained against {self.extractor}, the very network that measures "
            "them here: so the value flatters them, and values of other generators are not comparable with it"
            f"{'' if self.metric == 'fid' else elsewhere}."
        )

    def with_origin(self, origin: Origin) -> Score:
        """The score with what its images say of where they come from, and the warning that follows from that."""
        score = replace(self, sampling=origin.sampling, trained_against=origin.trained_against)
        return score if score.flattery is None else replace(score, warnings=(score.flattery, *score.warnings))

    def summary(self) -> str:
        """One line for people: the value, of what, on how many images; their origin; the verdict on a target."""
        value = f"{self.label} {self.value:.2f}{'' if self.metric == 'fid' else ' (not FID)'}"
        unknown = "statistics of unknown size"
        images = unknown if self.n is None else f"{self.n:,} images"
        reference = unknown if self.reference_n is None else f"{self.reference_n:,}"
        line = f"{value}: {images} against {reference}, {self.dims:,} dims of {self.extractor}"
        if self.sampling is not None:
            line += f"; sampled by {self.sampling}"
        if self.trained_against is not None:
            line += f"; generator trained against {self.trained_against}"
        if self.passed is None:
            return line
        verdict = "below" if self.passed else "not below"
        return f"{line}; {verdict} the target of {self.target:g}"

    def lines(self) -> list[str]:
        """The summary, and under it what the value is worth: floor, interval, other metrics, weights."""
        lines = [self.summary()]
        if self.floor is not None:
            spread = "" if self.floor_spread is None else f" ± {self.floor_spread:.2f}"
            lines.append(f"floor {self.floor:.2f}{spread}: {self.n:,} real images against the same reference")
        if self.interval95 is not None:
            lines.append("95% interval {:.2f} to {:.2f}".format(*self.interval95))
        lines += [metric_line(key, value) for key, value in self.metrics.items()]
        return [*lines, f"weights {self.weights_sha256}"]

    def _repr_html_(self) -> str | None:
        spread = "" if self.floor_spread is None else f" ± {self.floor_spread:.2f}"
        found = {
            "95% interval": None if self.interval95 is None else "{:.2f} to {:.2f}".format(*self.interval95),
            "floor": None if self.floor is None else f"{self.floor:.2f}{spread}, what as many real images score",
            "images": "statistics of unknown size" if self.n is None else f"{self.n:,}",
            "reference": None if self.reference_n is None else f"{self.reference_n:,}",
            "features": f"{self.dims:,} dims of {self.extractor}",
            "sampled by": self.sampling,
            "trained against": self.trained_against,
        }
        for key, value in self.metrics.items():
            name = key.replace("_", " ")
            found[name] = metric_line(key, value).removeprefix(f"{name} ")
        title = f"{self.label} {self.value:.2f}{'' if self.metric == 'fid' else ' (not FID)'}"
        return card(title, facts(found), notes(self.warnings), mark=verdict(self.passed, self.target))

    def to_json(self) -> dict[str, Any]:
        """The object that ``facegen fid --json`` prints."""
        return {
            "schema": SCHEMA,
            "metric": self.metric,
            "value": self.value,
            "n": self.n,
            "dims": self.dims,
            "extractor": self.extractor,
            "weights_sha256": self.weights_sha256,
            "reference": {"n": self.reference_n, "sha256": self.reference_sha256},
            "target": self.target,
            "passed": self.passed,
            "floor": self.floor,
            "floor_spread": self.floor_spread,
            "floor_draws": list(self.floor_draws),
            "interval95": None if self.interval95 is None else list(self.interval95),
            "warnings": list(self.warnings),
            "metrics": dict(self.metrics),
            "sampling": self.sampling,
            "trained_against": self.trained_against,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Score:
        """The score that ``to_json`` wrote. ValueError for another schema, a missing key or a value of another type."""
        if not isinstance(value, Mapping):
            raise ValueError(f"not a score but one {type(value).__name__}")
        if value.get("schema") != SCHEMA:
            raise ValueError(f"a score of schema {value.get('schema')!r}; this facegen reads {SCHEMA}")
        try:
            interval = value["interval95"]
            score = cls(
                metric=value["metric"],
                value=value["value"],
                n=value["n"],
                dims=value["dims"],
                extractor=value["extractor"],
                weights_sha256=value["weights_sha256"],
                reference_n=value["reference"]["n"],
                reference_sha256=value["reference"]["sha256"],
                target=value["target"],
                passed=value["passed"],
                floor=value["floor"],
                floor_spread=value["floor_spread"],
                floor_draws=tuple(value["floor_draws"]),
                interval95=None if interval is None else (interval[0], interval[1]),
                warnings=tuple(value["warnings"]),
                metrics=value["metrics"],
                # Scores were written before there was another sampling, or anything to be trained against.
                sampling=value.get("sampling"),
                trained_against=value.get("trained_against"),
            )
        except (KeyError, TypeError, IndexError) as problem:
            raise ValueError(f"not a score: {problem}") from problem
        for name, kinds in _KINDS.items():
            given = getattr(score, name)
            if not isinstance(given, kinds) or (isinstance(given, bool) and bool not in kinds):
                raise ValueError(f"not a score: its {name} is one {type(given).__name__}")
        numbers = (score.value, *score.floor_draws, *(score.interval95 or ()))
        if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers):
            raise ValueError("not a score: its numbers are none, or not finite")
        return score
