"""Known curves: the scores that recipes reached in measured runs, by the length of training."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from facegen.training.recipe import Recipe, load_recipe, recipe_names

#: Fields that a run may change without leaving its recipe's known curve: its length, its seed, and what it logs.
_FREE = frozenset({*Recipe.RESUMABLE, "schedule_kimg", "seed", "tick_kimg", "sync_batch_norm"})


@dataclass(frozen=True)
class KnownCurve:
    """The score of a recipe as a function of the images shown.

    docs/training-log.md tells how each point was measured.

    Attributes:
        metric: What the score is called.
        target: The score below which a run passes. Lower is better.
        points: Pairs (kimg, score) in the order of kimg. Each score is of 1,000 images of the averaged generator.
    """

    metric: str
    target: float
    points: tuple[tuple[float, float], ...]

    def value_at(self, kimg: float) -> float | None:
        """Return the score after ``kimg``; None outside the measured range.

        Between two points the score is linear in the logarithm of kimg.
        """
        if not self.points[0][0] <= kimg <= self.points[-1][0]:
            return None
        after = next(index for index, (there, _) in enumerate(self.points) if there >= kimg)
        if self.points[after][0] == kimg:
            return self.points[after][1]
        (low, before), (high, behind) = self.points[after - 1], self.points[after]
        return before + (behind - before) * math.log(kimg / low) / math.log(high / low)

    @property
    def kimg_to_target(self) -> float | None:
        """The kimg of the first point that passes; None if no point does."""
        return next((kimg for kimg, value in self.points if value < self.target), None)


#: Known curves on CelebA, by recipe. ≈FID is the FID with nearly exact Inception weights; a run passes below 18.5.
#: The first five points of ``laptop`` are of a run whose learning rate fell to a tenth by 160 kimg and then continued
#: at the recipe's rate. The other points are of the run whose generator ships with facegen.
KNOWN_CURVES: dict[str, KnownCurve] = {
    "laptop": KnownCurve(
        "≈FID",
        18.5,
        (
            (50.0, 27.3),
            (140.0, 21.7),
            (160.0, 21.3),
            (370.0, 19.7),
            (500.0, 19.1),
            (1010.0, 18.0),
            (1240.0, 17.9),
            (1430.0, 17.7),
            (1568.0, 17.4),
        ),
    ),
}
#: Recipes without a curve, each with a recipe that has the same networks and losses and a curve.
RELATIVES: dict[str, str] = {"t4": "laptop"}
#: Recipes that are known never to pass with 1,000 samples, however long they train; each with the reason as a clause.
OUT_OF_REACH: dict[str, str] = {
    "dcgan": "its published FID is 12.5 with 50,000 images, and with only 1,000 even real photographs score 14",
    "quick": "it is made for two minutes of training on a CPU",
}


def known_curve(recipe: Recipe) -> KnownCurve | None:
    """Return the known curve of a recipe; None if there is none.

    A recipe has the curve of its name only if it learns in the same way as the shipped recipe.
    """
    return KNOWN_CURVES.get(recipe.name) if _is_as_shipped(recipe) else None


def relative_of(recipe: Recipe) -> str | None:
    """Return the name of another recipe, whose curve also tells about this one; None if there is no such recipe."""
    return RELATIVES.get(recipe.name) if _is_as_shipped(recipe) else None


def out_of_reach(recipe: Recipe) -> str | None:
    """Return why no length of the recipe reaches a FID of 20 at 1,000 samples; None if no reason is known."""
    return OUT_OF_REACH.get(recipe.name) if _is_as_shipped(recipe) else None


def _is_as_shipped(recipe: Recipe) -> bool:
    """Return whether the recipe learns in the same way as the shipped recipe of its name."""
    if recipe.name not in recipe_names():
        return False
    shipped = load_recipe(recipe.name)
    fields = (field.name for field in dataclasses.fields(Recipe))
    return all(getattr(recipe, name) == getattr(shipped, name) for name in fields if name not in _FREE)
