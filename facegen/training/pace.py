"""The meaning of a run's pace: when the run ends, when it reaches the target, and what a shorter run would reach."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen import console
from facegen.training.known_curves import KnownCurve, known_curve, out_of_reach, relative_of
from facegen.training.recipe import Recipe, load_recipe

#: Hours to the end above which the outlook suggests a shorter run, and the minutes of that run.
LONG, SHORTER = 3.0, 120.0
#: Hours on a CPU above which the outlook suggests a recipe for a CPU.
TOO_LONG = 24.0
#: Seconds of training after which the pace is known; and seconds to the end below which no outlook is printed.
KNOWN_AFTER, SOON = 20.0, 600.0
#: Recipes that are made for a CPU.
FOR_A_CPU = ("laptop", "quick")


def outlook(recipe: Recipe, size: int, kimg: float, images_per_sec: float, device: torch.device) -> list[str]:
    """Return sentences on the prospects of a run at its present pace.

    Args:
        recipe: The recipe of the run. Its ``kimg`` is the length; with ``minutes``, it is the length that these will
            reach.
        size: Side of the dataset's images, in pixels. The scores of recipes are known only for 64.
        kimg: Where the run stands now.
        images_per_sec: The pace, in real images shown per second.
        device: The device that trains.
    """

    def seconds_to(there: float) -> float:
        return max(there - kimg, 0.0) * 1000 / images_per_sec

    pace = f"{images_per_sec:,.0f}" if images_per_sec >= 10 else f"{images_per_sec:.1f}"
    end, left = f"{recipe.kimg:,.4g} kimg", console.duration(seconds_to(recipe.kimg))
    way = f"reaches {end} in {recipe.minutes:g} minutes" if recipe.minutes else f"needs about {left} to reach {end}"
    said = [f"At {pace} images/s the run {way}."]
    hours = seconds_to(recipe.kimg) / 3600
    curve = None
    if size == 64:
        relative = relative_of(recipe)
        curve = known_curve(recipe if relative is None else load_recipe(relative))
        said.append(_to_the_target(recipe, relative, curve, seconds_to))
    if hours > TOO_LONG and device.type == "cpu" and recipe.name not in FOR_A_CPU:
        said.append("On a CPU, use --recipe laptop instead.")
    elif hours > LONG and not recipe.minutes:
        shorter = SHORTER * 60 * images_per_sec / 1000
        value = None if curve is None else curve.value_at(shorter)
        to = "" if value is None or curve is None else f" and reach about {curve.metric} {value:.0f}"
        said.append(f"A new run with --minutes {SHORTER:g} would fit the whole schedule into {shorter:,.0f} kimg{to}.")
    return said


def _to_the_target(
    recipe: Recipe, relative: str | None, curve: KnownCurve | None, seconds_to: Callable[[float], float]
) -> str:
    never = out_of_reach(recipe)
    if never is not None:
        return f"{recipe.name} does not reach a FID of 20 at 1,000 images, however long it trains: {never}."
    passed = None if curve is None else curve.kimg_to_target
    if curve is None or passed is None:
        return f"It is not known how long {recipe.name} takes to reach a FID of 20."
    whose = "this recipe" if relative is None else f"the recipe {relative}, which has the same networks,"
    said = (
        f"On CelebA {whose} reached the target after {passed:,.4g} kimg ({curve.metric} {curve.value_at(passed):.1f}; "
        f"the target is {curve.target:g})"
    )
    if recipe.kimg >= passed:
        return f"{said}, about {console.duration(seconds_to(passed))} from now."
    value = curve.value_at(recipe.kimg)
    ends = "" if value is None else f", at about {curve.metric} {value:.0f}"
    return f"{said}, about {console.duration(seconds_to(passed))} from now. This run ends before that{ends}."


class PaceTeller:
    """A reporter of a run's outlook. It speaks once, as soon as the pace is known, unless the end is near.

    Args:
        size: Side of the dataset's images, in pixels.
        device: The device that trains.
        seen: Number of images shown before.
        trained: Seconds of training that those images took.
    """

    def __init__(self, size: int, device: torch.device, seen: int, trained: float) -> None:
        self._size, self._device = size, device
        self._from = (seen, trained)
        self._is_told = False

    def look(self, recipe: Recipe, seen: int, trained: float) -> None:
        """Look at a tick, and print the outlook if it is due.

        Args:
            recipe: The recipe of the run. With ``minutes``, its ``kimg`` must be the length that its pace will reach.
            seen: Number of images shown so far.
            trained: Seconds of training so far.
        """
        images, seconds = seen - self._from[0], trained - self._from[1]
        if self._is_told or not images or seconds < KNOWN_AFTER:
            return
        self._is_told = True
        rate = images / seconds
        if (recipe.total_images - seen) / rate > SOON:
            console.info(" ".join(outlook(recipe, self._size, seen / 1000, rate, self._device)))
