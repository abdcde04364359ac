"""The clock of a run, and the length of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from facegen.training.hyperparameter import MOST_KIMG
from facegen.training.recipe import Recipe

#: Duration of the warm-up, and then of the measurement of the pace: each as a fraction of the run's time and as a
#: maximum in seconds. The warm-up is not measured, because a machine is slower at first.
WARM_UP, MEASURED = (0.01, 5.0), (0.03, 20.0)
#: Fraction of the remaining time that goes into training. The rest goes into scores and files that are still to come.
TRAINING_SHARE = 0.97


#: Seconds that count as elapsed when the clock stood still or went back.
LEAST_SECONDS = 1e-6


class Clock:
    """The seconds of a run: ``trained``, and ``aside`` for scores, files and the compiler.

    The time since the last :meth:`lap` is counted by the next one.
    """

    def __init__(self, trained: float = 0.0, aside: float = 0.0) -> None:
        self.trained, self.aside = trained, aside
        self._since = time.perf_counter()

    def lap(self, *, training: bool) -> float:
        """Count the seconds since the last lap, and return them.

        Args:
            training: Whether the seconds were spent in training, rather than aside from it.
        """
        now = time.perf_counter()
        elapsed, self._since = now - self._since, now
        if training:
            self.trained += elapsed
        else:
            self.aside += elapsed
        return elapsed

    @property
    def now(self) -> float:
        """Seconds of the run until now."""
        return self.trained + self.aside + time.perf_counter() - self._since


class Length:
    """The length of a run, in kimg or by the clock.

    Without ``minutes`` in the recipe, the run ends after ``kimg`` thousand images. With ``minutes``, only the clock
    ends it. The pace of the first seconds then tells how many kimg the run will reach. That becomes the recipe's
    ``kimg``, and its schedules are stretched or shortened by the same factor.

    Args:
        recipe: The recipe of the run.
        clock: The clock of the run.
        settled: Whether ``kimg`` was set by the pace already, as in a run that continues.
    """

    def __init__(self, recipe: Recipe, clock: Clock, *, settled: bool) -> None:
        self.recipe = recipe
        self._clock = clock
        self._seconds = recipe.minutes * 60
        self.is_settled = settled or not recipe.minutes
        self._warm: tuple[int, float] | None = None

    def is_over(self, seen: int) -> bool:
        """Return whether the run ends after ``seen`` images."""
        return self._clock.now >= self._seconds if self._seconds else seen >= self.recipe.total_images

    @property
    def _next_look(self) -> float:
        """The time of the next look at the clock while the pace is measured."""
        share, most = WARM_UP if self._warm is None else MEASURED
        since = (self._warm or self._start)[1]
        return since + min(share * self._seconds, most)

    def start(self, seen: int = 0) -> None:
        """Note that the first step begins now, after ``seen`` images."""
        self._start = (seen, self._clock.now)

    def wants_to_look(self) -> bool:
        """Return whether :meth:`look` is due.

        Wait for the device first, so that ``seen`` counts only the finished steps.
        """
        return not self.is_settled and self._clock.now >= self._next_look

    def look(self, seen: int, *, last: bool = False) -> float | None:
        """Note the images shown so far; return the kimg that the run will reach, or None if it is not known yet.

        Args:
            seen: Number of images shown so far.
            last: Whether this is the last look, so that an answer is needed now.
        """
        now, before = self._clock.now, self._warm
        self._warm = (seen, now)
        if before is None:
            if not last:
                return None
            before = self._start
        pace = (seen - before[0]) / max(now - before[1], LEAST_SECONDS)
        step = self.recipe.images_per_step
        kimg = (seen + round(pace * max(0.0, self._seconds - now) * TRAINING_SHARE / step) * step) / 1000
        return min(kimg, MOST_KIMG)

    def settle(self, kimg: float) -> Recipe:
        """Return the recipe with a length of ``kimg`` and its schedules stretched by the same factor."""
        longer = kimg / self.recipe.kimg
        schedule_kimg = self.recipe.schedule_kimg and min(self.recipe.schedule_kimg * longer, MOST_KIMG)
        stretched = {"kimg": kimg, "schedule_kimg": schedule_kimg}
        self.recipe, self.is_settled = self.recipe.with_overrides(stretched), True
        return self.recipe


def settled_recipe(recipe: Recipe, checkpoint: Mapping[str, Any]) -> Recipe:
    """Return the recipe as the run of ``checkpoint`` follows it.

    The pace of the run's first seconds may have stretched its schedules.
    """
    then = checkpoint["recipe"]
    if not then.get("minutes"):
        return recipe
    kimg = then["kimg"] if recipe.minutes else recipe.kimg
    return recipe.with_overrides({"kimg": kimg, "schedule_kimg": then["schedule_kimg"]})
