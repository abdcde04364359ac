"""The time of a run, and how long it lasts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from facegen.training.hyperparameter import MOST_KIMG
from facegen.training.recipe import Recipe

#: Seconds at the start in which a machine is not at its pace yet, and seconds in which the pace is then measured: as
#: shares of the run, and at most.
WARM_UP, MEASURED = (0.01, 5.0), (0.03, 20.0)
#: What is left of the time for training, beside scores and files that are still to come.
TRAINING_SHARE = 0.97


#: What a clock that stood still, or went back, is taken to have measured.
LEAST_SECONDS = 1e-6


class Clock:
    """Seconds of a run: ``trained``, and ``aside`` from it, for scores, files, and the compiler.

    The time since the last :meth:`lap` is counted by the next.
    """

    def __init__(self, trained: float = 0.0, aside: float = 0.0) -> None:
        self.trained, self.aside = trained, aside
        self._since = time.perf_counter()

    def lap(self, *, training: bool) -> float:
        """Count the seconds since the last lap, as training or aside from it; return them."""
        now = time.perf_counter()
        elapsed, self._since = now - self._since, now
        if training:
            self.trained += elapsed
        else:
            self.aside += elapsed
        return elapsed

    @property
    def now(self) -> float:
        """Seconds of the run until this moment."""
        return self.trained + self.aside + time.perf_counter() - self._since


class Length:
    """How long a run lasts: until ``kimg`` images, or, where the recipe has ``minutes``, by the clock alone.

    By the clock, the run's ``kimg`` is what the pace of its first seconds will reach, and its schedules are stretched
    to it, or shortened.

    Args:
        settled: whether that is done; as it is for a run that goes on.
    """

    def __init__(self, recipe: Recipe, clock: Clock, *, settled: bool) -> None:
        self.recipe = recipe
        self._clock = clock
        self._seconds = recipe.minutes * 60
        self.is_settled = settled or not recipe.minutes
        self._warm: tuple[int, float] | None = None

    def is_over(self, seen: int) -> bool:
        """Whether the run ends with ``seen`` images shown."""
        return self._clock.now >= self._seconds if self._seconds else seen >= self.recipe.total_images

    @property
    def _next_look(self) -> float:
        """When the clock is read next, on the way to the pace."""
        share, most = WARM_UP if self._warm is None else MEASURED
        since = (self._warm or self._start)[1]
        return since + min(share * self._seconds, most)

    def start(self, seen: int = 0) -> None:
        """The first step begins now, with ``seen`` images shown before."""
        self._start = (seen, self._clock.now)

    def wants_to_look(self) -> bool:
        """Whether the device should be waited for, so that :meth:`look` finds how many images were really shown."""
        return not self.is_settled and self._clock.now >= self._next_look

    def look(self, seen: int, *, last: bool = False) -> float | None:
        """Take note of the images shown so far. The kimg that will be reached, once enough is known or it must be."""
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
        """The recipe with a length of ``kimg``, its schedules stretched alike."""
        longer = kimg / self.recipe.kimg
        schedule_kimg = self.recipe.schedule_kimg and min(self.recipe.schedule_kimg * longer, MOST_KIMG)
        stretched = {"kimg": kimg, "schedule_kimg": schedule_kimg}
        self.recipe, self.is_settled = self.recipe.with_overrides(stretched), True
        return self.recipe


def settled_recipe(recipe: Recipe, checkpoint: Mapping[str, Any]) -> Recipe:
    """The recipe as the run follows it: the pace of its first seconds may have stretched its schedules."""
    then = checkpoint["recipe"]
    if not then.get("minutes"):
        return recipe
    kimg = then["kimg"] if recipe.minutes else recipe.kimg
    return recipe.with_overrides({"kimg": kimg, "schedule_kimg": then["schedule_kimg"]})
