"""Whether a run is well: warnings in words, and what is no longer worth training on from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch

from facegen import console
from facegen.errors import FacegenError
from facegen.training.checkpoint import checkpoint_files
from facegen.training.figures import Figures
from facegen.training.log import Tick
from facegen.training.trainer import Trainer


class Collapsed(FacegenError):
    """What is trained by now is worth less than what was trained before.

    ``kimg`` says when, in thousands of images shown.
    """

    def __init__(self, kimg: float, message: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.kimg = kimg


class Diverged(Collapsed):
    """A figure or a weight is no longer finite: there is nothing to train on from."""


class Health:
    """Warns in words, once per episode, when D has won or G has collapsed; and says when it will not mend by itself."""

    #: D is sure of nearly everything: its gradient, which is all that G learns from, has faded.
    SURE = 0.99
    #: D is wrong by more than the noise of a tick, in which D(x) and D(G(z)) may change places.
    WRONG = 0.1
    #: Mean standard deviation over latents of a pixel in [−1, 1]; real faces have about 0.5.
    ALIKE = 0.05
    #: Ticks in which an untrained G's images may still be alike.
    GRACE = 5
    #: Ticks in a row that are a collapse, and no passing thing.
    LASTING = 3
    #: How many times the best score another one is, and how many such scores in a row are a collapse. Scores of a run
    #: that is well differ by some per cent.
    MUCH_WORSE, SCORES = 1.5, 2

    def __init__(self) -> None:
        self._warned: set[str] = set()
        self._ticks = 0
        self._differed = False
        self._alike, self._worse = 0, 0
        self._words = ""

    def _episode(self, name: str, present: bool, words: str) -> None:
        if present and name not in self._warned:
            console.warn(words)
        (self._warned.add if present else self._warned.discard)(name)

    def look_back(self, past: Iterable[Tick]) -> None:
        """Take note of the ticks of a run that goes on: what has differed can collapse."""
        spreads = (tick.get("spread") for tick in past)
        self._differed = any(isinstance(spread, float) and spread >= self.ALIKE for spread in spreads)

    def check(self, figures: Figures) -> None:
        """Look at the figures of a tick."""
        real, fake, spread = figures["d_real"], figures["d_fake"], figures["spread"]
        self._ticks += 1
        if real is None or fake is None or spread is None:  # of no step, so there is nothing to tell by
            return
        self._differed = self._differed or spread >= self.ALIKE
        alike = spread < self.ALIKE and (self._differed or self._ticks > self.GRACE)
        self._alike = self._alike + 1 if alike and self._differed else 0
        self._episode(
            "d_won",
            real > self.SURE and fake < 1 - self.SURE,
            f"The discriminator has won: D(x) {real:.3f}, D(G(z)) {fake:.3f}. The generator no longer learns; if this "
            "lasts, start again with a lower discriminator_lr or another seed.",
        )
        self._episode(
            "d_lost",
            real < 0.5 < fake and fake - real > self.WRONG,
            f"The discriminator has collapsed: it takes generated images for more real (D(G(z)) {fake:.3f}) than "
            f"real ones (D(x) {real:.3f}). If this lasts, raise discriminator_lr.",
        )
        self._episode(
            "g_collapsed",
            alike,
            f"The generator has collapsed: its images differ by only {spread:.3f} (standard deviation of a pixel in "
            "[−1, 1] over latents; real faces have about 0.5). Start again with a lower learning rate or another seed.",
        )
        if self._alike >= self.LASTING:
            self._words = f"the generator's images have been alike for {self._alike} ticks, differing by {spread:.3f}"

    def check_score(self, value: float, best: float | None, metric: str) -> None:
        """Look at a score; ``best`` is the best before it, None where there is none."""
        much_worse = best is not None and value > self.MUCH_WORSE * best
        self._worse = self._worse + 1 if much_worse else 0
        if best is not None and self._worse >= self.SCORES:
            self._words = (
                f"{self._worse} scores in a row are far worse than the best, {metric} {value:.1f} after {best:.1f}"
            )

    @property
    def is_troubled(self) -> bool:
        """Whether something is amiss at this moment."""
        return bool(self._warned or self._worse)

    @property
    def collapse(self) -> str | None:
        """What will not mend by itself, in words that go on from a colon; None while there is no such thing."""
        return self._words or None


def require_finite(figures: Figures, run: Path, precision: torch.dtype) -> None:
    """Diverged where a figure of a tick is not."""
    for name, value in figures.items():
        if value is not None and not math.isfinite(value):
            raise _diverged(f"{name} is {value}", figures["kimg"] or 0.0, run, precision)


def require_finite_weights(trainer: Trainer, seen: int, run: Path, precision: torch.dtype) -> None:
    """Diverged where weights are not that are about to be saved in the place of something good.

    The figures are of the weights before.
    """
    names = trainer.not_finite()
    if names:
        weights = f"the weights of {' and '.join(names)} are not finite"
        raise _diverged(weights, seen / 1000, run, precision)


def _diverged(how: str, kimg: float, run: Path, precision: torch.dtype) -> Diverged:
    """What is said of a run that diverged, with a remedy that can be followed."""
    anew = "start a new run with a lower learning rate"
    kept = checkpoint_files(run)
    if not kept:
        remedy = f"There is no checkpoint from before: {anew}."
    elif precision == torch.float32:
        remedy = f"{kept[0].name} is from before, and would end alike: {anew}."
    else:
        remedy = f"{kept[0].name} is from before: go on from it with --precision fp32, or {anew}."
    return Diverged(kimg, f"Training in {run} stopped at kimg {kimg:g}: {how}.", remedy)
