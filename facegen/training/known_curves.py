"""What recipes are known to reach: values that were measured of runs, and how far each had trained by then."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from facegen.training.recipe import Recipe, load_recipe, recipe_names

#: What a run may change of a recipe whose curve is known: its length, its seed, and what it says on its way.
_FREE = frozenset({*Recipe.RESUMABLE, "schedule_kimg", "seed", "tick_kimg", "sync_batch_norm"})


@dataclass(frozen=True)
class KnownCurve:
    """A recipe's value over the images shown; docs/training.md tells how each point was measured.

    Attributes:
        metric: what the value is called.
        target: the value of a pass; lower is better.
        points: (kimg, value), kimg rising, each of 1,000 images of the averaged generator.
    """

    metric: str
    target: float
    points: tuple[tuple[float, float], ...]

    def value_at(self, kimg: float) -> float | None:
        """The value after ``kimg``, between measured ones linear in the logarithm of it; None outside of them."""
        if not self.points[0][0] <= kimg <= self.points[-1][0]:
            return None
        after = next(index for index, (there, _) in enumerate(self.points) if there >= kimg)
        if self.points[after][0] == kimg:
            return self.points[after][1]
        (low, before), (high, behind) = self.points[after - 1], self.points[after]
        return before + (behind - before) * math.log(kimg / low) / math.log(high / low)

    @property
    def kimg_to_target(self) -> float | None:
        """The kimg of the first measured value that is a pass; None where none is."""
        return next((kimg for kimg, value in self.points if value < self.target), None)


#: By recipe, of CelebA's faces. ≈FID is with near-exact Inception weights, and a pass in it is 18.5.
#: ``laptop``'s first four points are of a run whose rate fell to a tenth by 160 kimg, and then went on at the recipe's;
#: the others of the one whose generator ships with facegen.
KNOWN_CURVES: dict[str, KnownCurve] = {
    "laptop": KnownCurve(
        "≈FID",
        18.5,
        (
            (50.0, 27.3),
            (140.0, 21.7),
            (160.0, 21.3),
            (370.0, 19.7),
            (1010.0, 18.0),
            (1240.0, 17.9),
            (1430.0, 17.7),
            (1568.0, 17.4),
        ),
    ),
}
#: A recipe without a curve, and one with, whose networks and losses are the same.
RELATIVES: dict[str, str] = {"t4": "laptop"}
#: Recipes of which it is known that no length of theirs passes at 1,000 samples, with the reason in words.
OUT_OF_REACH: dict[str, str] = {
    "dcgan": "its published end is a FID of 12.5 of 50,000 images, and 1,000 photographs come to 14 by themselves",
    "quick": "it is made for two minutes of a CPU",
}


def known_curve(recipe: Recipe) -> KnownCurve | None:
    """The curve of a recipe that learns as the one of its name that ships with facegen; None where none is known."""
    return KNOWN_CURVES.get(recipe.name) if _is_as_shipped(recipe) else None


def relative_of(recipe: Recipe) -> str | None:
    """The recipe whose curve says something of this one, which has none; None where there is none."""
    return RELATIVES.get(recipe.name) if _is_as_shipped(recipe) else None


def out_of_reach(recipe: Recipe) -> str | None:
    """Why no length of the recipe reaches a target of FID 20 at 1,000 samples; None where that is not known."""
    return OUT_OF_REACH.get(recipe.name) if _is_as_shipped(recipe) else None


def _is_as_shipped(recipe: Recipe) -> bool:
    """Whether it learns as the recipe of its name that ships with facegen."""
    if recipe.name not in recipe_names():
        return False
    shipped = load_recipe(recipe.name)
    fields = (field.name for field in dataclasses.fields(Recipe))
    return all(getattr(recipe, name) == getattr(shipped, name) for name in fields if name not in _FREE)
