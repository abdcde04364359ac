"""What a run's pace means: for its end, for the target, and for somebody who has less time."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen import console
from facegen.training.known_curves import KnownCurve, known_curve, out_of_reach, relative_of
from facegen.training.recipe import Recipe, load_recipe

#: Hours to a run's end above which a shorter one is pointed out, and the minutes of that.
LONG, SHORTER = 3.0, 120.0
#: Hours on a CPU above which it is said that a recipe is not made for one.
TOO_LONG = 24.0
#: Seconds of training by which the pace is known, and seconds to the end that are worth no words.
KNOWN_AFTER, SOON = 20.0, 600.0
#: Recipes that are meant for a CPU.
FOR_A_CPU = ("laptop", "quick")


def duration(seconds: float) -> str:
    """A time ahead, as exactly as it is known: ``"about 40 s"``, ``"about 25 minutes"``, ``"about 3.5 h"``."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    hours = seconds / 3600
    return f"about {hours:.1f} h" if hours < 10 else f"about {hours:,.0f} h"


def outlook(recipe: Recipe, size: int, kimg: float, images_per_sec: float, device: torch.device) -> list[str]:
    """Sentences on a run that stands at ``kimg`` and goes on at this pace.

    Args:
        recipe: its length is ``kimg``, or, with ``minutes``, what these will reach.
        size: side of the dataset's images. What is known of a recipe is known at 64.
        images_per_sec: real images shown a second.
    """

    def seconds_to(there: float) -> float:
        return max(there - kimg, 0.0) * 1000 / images_per_sec

    pace = f"{images_per_sec:,.0f}" if images_per_sec >= 10 else f"{images_per_sec:.1f}"
    end, left = f"{recipe.kimg:,.4g} kimg", duration(seconds_to(recipe.kimg))
    way = f"{recipe.minutes:g} minutes reach {end}" if recipe.minutes else f"it takes {left} to {end}"
    said = [f"At {pace} images/s {way}."]
    hours = seconds_to(recipe.kimg) / 3600
    curve = None
    if size == 64:
        relative = relative_of(recipe)
        curve = known_curve(recipe if relative is None else load_recipe(relative))
        said.append(_to_the_target(recipe, relative, curve, seconds_to))
    if hours > TOO_LONG and device.type == "cpu" and recipe.name not in FOR_A_CPU:
        said.append("For a CPU there is --recipe laptop.")
    elif hours > LONG and not recipe.minutes:
        shorter = SHORTER * 60 * images_per_sec / 1000
        value = None if curve is None else curve.value_at(shorter)
        to = "" if value is None or curve is None else f": about {curve.metric} {value:.0f}"
        said.append(f"--minutes {SHORTER:g}, in a new run, would do with a whole schedule of {shorter:,.0f} kimg{to}.")
    return said


def _to_the_target(
    recipe: Recipe, relative: str | None, curve: KnownCurve | None, seconds_to: Callable[[float], float]
) -> str:
    never = out_of_reach(recipe)
    if never is not None:
        return f"{recipe.name} reaches no FID of 20 at 1,000 images, however long it trains: {never}."
    passed = None if curve is None else curve.kimg_to_target
    if curve is None or passed is None:
        return f"How soon {recipe.name} reaches a FID of 20 is not known."
    whose = "this recipe" if relative is None else f"{relative}, which has the same networks,"
    said = (
        f"On CelebA {whose} passed after {passed:,.4g} kimg ({curve.metric} {curve.value_at(passed):.1f}; a pass is "
        f"{curve.target:g})"
    )
    if recipe.kimg >= passed:
        return f"{said}: {duration(seconds_to(passed))} from here."
    value = curve.value_at(recipe.kimg)
    ends = "" if value is None else f", at about {curve.metric} {value:.0f}"
    return f"{said}, which is {duration(seconds_to(passed))} from here; this run ends before{ends}."


class PaceTeller:
    """Says once, as soon as a run's pace is known, what it means: where the end is not near.

    Args:
        size: side of the dataset's images.
        seen: images that were shown before.
        trained: seconds in which they were.
    """

    def __init__(self, size: int, device: torch.device, seen: int, trained: float) -> None:
        self._size, self._device = size, device
        self._from = (seen, trained)
        self._is_told = False

    def look(self, recipe: Recipe, seen: int, trained: float) -> None:
        """Look at a tick. A recipe with ``minutes`` has the length that its pace will reach by now."""
        images, seconds = seen - self._from[0], trained - self._from[1]
        if self._is_told or not images or seconds < KNOWN_AFTER:
            return
        self._is_told = True
        rate = images / seconds
        if (recipe.total_images - seen) / rate > SOON:
            console.info(" ".join(outlook(recipe, self._size, seen / 1000, rate, self._device)))
