"""A score: a Fréchet distance together with everything needed to interpret it."""

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
#: The types of a score's fields in JSON.
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
    """A measured distance between images and a reference. Smaller is better.

    Attributes:
        metric: ``"fid"`` for the 2,048 features of the published Inception network, otherwise ``"fd"``.
        value: The distance, ≥ 0.
        n: Number of images that were scored; None if they came as statistics that do not say.
        dims: Number of features per image.
        extractor: Name of the feature extractor: ``inception-2015-12-05``, ``effnet-lite0`` or ``dinov2-vitl14``;
            ``inception-custom`` and the like with other weights; ``custom:package.module:callable`` for a function of
            the user's own.
        weights_sha256: Hash of the extractor's weights file, or of the source code of the user's own function.
        reference_n: Number of images in the reference; None if its file does not say.
        reference_sha256: Content hash of the reference.
        target: The value to stay below; None if there is no target.
        passed: Whether ``value < target``; None without a target.
        floor: Mean score of the same number of real images; None if it was not measured.
        floor_spread: Standard deviation of that score from draw to draw; None if it was not measured.
        floor_draws: Score of each draw of real images.
        interval95: 95% confidence interval of ``value``; None if it was not measured.
        warnings: Whole sentences about what spoils the comparison.
        metrics: JSON of the other metrics by key, if they were measured (:mod:`facegen.scoring.metric_table`).
        sampling: How the images were sampled, according to their files; None for plain sampling, or if they do not say.
        trained_against: Name of the extractor whose frozen network the generator was trained against, according to the
            image files; None if there was none, or if they do not say.
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
        """The name of ``value``: ``"FID"``, ``"FD_DINOv2"``, ``"effnet-lite0 FD"`` or ``"inception-custom FD"``."""
        return metric_label(self.extractor, self.dims)

    @property
    def flattery(self) -> str | None:
        """A warning if the generator was trained against the very network that measures it here, otherwise None."""
        if self.trained_against is None or self.extractor not in self.trained_against:
            return None
        which = "The images" if self.trained_against == self.extractor else "Some of the images"
        elsewhere = (
            " FID uses another network, Inception, but both networks learned on ImageNet, so FID may be flattered too."
        )
        return (
            f"{which} come from a generator that was trained against {self.extractor}, the very network that measures "
            "them here. The value therefore flatters them, and values of other generators are not comparable with it."
            f"{'' if self.metric == 'fid' else elsewhere}"
        )

    def with_origin(self, origin: Origin) -> Score:
        """Return the score with the origin that its images state, and with the warning that follows from it."""
        score = replace(self, sampling=origin.sampling, trained_against=origin.trained_against)
        return score if score.flattery is None else replace(score, warnings=(score.flattery, *score.warnings))

    def summary(self) -> str:
        """Return one line for people: the value, what was compared, the images' origin and the verdict on a target."""
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
        """Return the summary, followed by the floor, the interval, the other metrics and the weights."""
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
            "floor": None if self.floor is None else f"{self.floor:.2f}{spread}, the score of as many real images",
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
        """Return the object that ``facegen fid --json`` prints."""
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
        """Return the score that :meth:`to_json` wrote.

        Raises:
            ValueError: The schema is another, a key is missing, or a value has another type.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"not a score, but a value of type {type(value).__name__}")
        if value.get("schema") != SCHEMA:
            raise ValueError(f"the score has schema {value.get('schema')!r}, but this facegen reads schema {SCHEMA}")
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
                # Scores that older versions wrote lack these two keys.
                sampling=value.get("sampling"),
                trained_against=value.get("trained_against"),
            )
        except (KeyError, TypeError, IndexError) as problem:
            raise ValueError(f"not a score: {problem}") from problem
        for name, kinds in _KINDS.items():
            given = getattr(score, name)
            if not isinstance(given, kinds) or (isinstance(given, bool) and bool not in kinds):
                raise ValueError(f"not a score: its {name} is of type {type(given).__name__}")
        numbers = (score.value, *score.floor_draws, *(score.interval95 or ()))
        if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers):
            raise ValueError("not a score: its value, floor draws or interval are not finite numbers")
        return score
