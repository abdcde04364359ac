"""The health of a run: warnings, and the conditions under which further training is pointless."""

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
    """A run has collapsed: its networks are worse than they were before.

    ``kimg`` says when, in thousands of images shown.
    """

    def __init__(self, kimg: float, message: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.kimg = kimg


class Diverged(Collapsed):
    """A figure or a weight is no longer finite, so training cannot continue from the present state."""


class Health:
    """A watch over the figures of a run.

    It warns once per episode when the discriminator has won or lost, or when the generator has collapsed. It also says
    when a collapse will not recover on its own.
    """

    #: D(x) above which, and 1 − D(G(z)) above which, the discriminator has won. It is then certain of nearly every
    #: image, and its gradient vanishes, which is all that the generator learns from.
    SURE = 0.99
    #: Minimum D(G(z)) − D(x) of a discriminator that has lost. It is more than the noise of a tick, in which the two
    #: may swap places.
    WRONG = 0.1
    #: Spread below which generated images are nearly identical: the mean standard deviation over latents of a pixel in
    #: [−1, 1]. Real faces have about 0.5.
    ALIKE = 0.05
    #: Number of ticks in which the images of an untrained generator may still be nearly identical.
    GRACE = 5
    #: Number of consecutive ticks that make a collapse, rather than a passing event.
    LASTING = 3
    #: A score that is this many times the best one is far worse, and this many of them in a row are a collapse. The
    #: scores of a healthy run differ by a few per cent.
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
        """Note the past ticks of a run that continues: only a generator whose images once differed can collapse."""
        spreads = (tick.get("spread") for tick in past)
        self._differed = any(isinstance(spread, float) and spread >= self.ALIKE for spread in spreads)

    def check(self, figures: Figures) -> None:
        """Check the figures of a tick, and warn where something is wrong."""
        real, fake, spread = figures["d_real"], figures["d_fake"], figures["spread"]
        self._ticks += 1
        if real is None or fake is None or spread is None:  # No step had these figures.
            return
        self._differed = self._differed or spread >= self.ALIKE
        alike = spread < self.ALIKE and (self._differed or self._ticks > self.GRACE)
        self._alike = self._alike + 1 if alike and self._differed else 0
        self._episode(
            "d_won",
            real > self.SURE and fake < 1 - self.SURE,
            f"The discriminator has won: D(x) is {real:.3f} and D(G(z)) is {fake:.3f}, so the generator no longer "
            "learns. If this lasts, start again with a lower discriminator_lr or another seed.",
        )
        self._episode(
            "d_lost",
            real < 0.5 < fake and fake - real > self.WRONG,
            f"The discriminator has collapsed: it finds generated images (D(G(z)) {fake:.3f}) more real than real "
            f"images (D(x) {real:.3f}). If this lasts, raise discriminator_lr.",
        )
        self._episode(
            "g_collapsed",
            alike,
            f"The generator has collapsed: its images are nearly identical, with a standard deviation of {spread:.3f} "
            "per pixel (real faces have about 0.5). Start again with a lower learning rate or another seed.",
        )
        if self._alike >= self.LASTING:
            self._words = (
                f"the generator's images have been nearly identical for {self._alike} ticks "
                f"(standard deviation {spread:.3f} per pixel)"
            )

    def check_score(self, value: float, best: float | None, metric: str) -> None:
        """Check a score against the best earlier score.

        Args:
            value: The new score. Lower is better.
            best: The best earlier score by the same metric; None if there is none.
            metric: What the score is called.
        """
        much_worse = best is not None and value > self.MUCH_WORSE * best
        self._worse = self._worse + 1 if much_worse else 0
        if best is not None and self._worse >= self.SCORES:
            self._words = (
                f"{self._worse} scores in a row are far worse than the best ({metric} {value:.1f}, best {best:.1f})"
            )

    @property
    def is_troubled(self) -> bool:
        """Whether a warning applies at this moment."""
        return bool(self._warned or self._worse)

    @property
    def collapse(self) -> str | None:
        """The reason why the run will not recover on its own, as a clause to follow a colon; None if there is none."""
        return self._words or None


def require_finite(figures: Figures, run: Path, precision: torch.dtype) -> None:
    """Raise Diverged if a figure of a tick is not finite."""
    for name, value in figures.items():
        if value is not None and not math.isfinite(value):
            raise _diverged(f"{name} is {value}", figures["kimg"] or 0.0, run, precision)


def require_finite_weights(trainer: Trainer, seen: int, run: Path, precision: torch.dtype) -> None:
    """Raise Diverged if a weight is not finite, before the weights are saved over good ones.

    The figures do not show this, because they describe the weights before the last update.
    """
    names = trainer.not_finite()
    if names:
        weights = f"the weights of {' and '.join(names)} are not finite"
        raise _diverged(weights, seen / 1000, run, precision)


def _diverged(how: str, kimg: float, run: Path, precision: torch.dtype) -> Diverged:
    """Return the error for a run that diverged, with a remedy that fits its checkpoints."""
    anew = "start a new run with a lower learning rate"
    kept = checkpoint_files(run)
    if not kept:
        remedy = f"There is no earlier checkpoint, so {anew}."
    elif precision == torch.float32:
        remedy = f"{kept[0].name} was saved before that, but would diverge again. Instead, {anew}."
    else:
        remedy = f"{kept[0].name} was saved before that. Continue from it with --precision fp32, or {anew}."
    return Diverged(kimg, f"Training in {run} stopped at kimg {kimg:g}: {how}.", remedy)
