"""A pass over a reference's images that was broken off goes on from a file, instead of from the first image."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from facegen import console
from facegen.files import atomic_path, read_arrays
from facegen.scoring.features import FeaturePass

#: Seconds between two checkpoints; and the part of the time that writing them may take, where they are large.
INTERVAL, SHARE = 20.0, 0.02
#: A pass that nobody took up for so many days is given up.
DAYS = 7


class PassCheckpoint:
    """The file that a pass over images goes on from; the file's name tells of which images and which features.

    It is written beside and renamed, so it is whole whenever the process is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._interval = INTERVAL
        self._saved_at = time.monotonic()

    def begin(self, dims: int, total: int, description: str) -> FeaturePass:
        """The pass over ``total`` images, where it was broken off, or at the first of them."""
        so_far = FeaturePass(dims, total)
        if not self.path.is_file():
            return so_far
        try:
            so_far.restore(read_arrays(self.path))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            console.warn(f"{description}: starting again with the first image, for {self.path} is damaged: {problem}.")
            so_far.close()
            return FeaturePass(dims, total)
        console.info(f"{description}: going on after {so_far.n:,} of {total:,} images.")
        return so_far

    def save_if_due(self, so_far: FeaturePass) -> None:
        """Save the pass, unless that was done a short while ago."""
        if time.monotonic() - self._saved_at >= self._interval:
            self.save(so_far)

    def save(self, so_far: FeaturePass) -> bool:
        """Save the pass, and say whether that was done: it is not where the folder cannot be written."""
        if not so_far.whole or not so_far.n:
            return False
        is_saved = False
        began = time.monotonic()
        try:
            with atomic_path(self.path) as temporary, temporary.open("wb") as file:
                np.savez(file, **so_far.state())  # type: ignore[arg-type]
            is_saved = True
        except OSError as problem:
            console.detail(f"Cannot write {self.path}: {problem.strerror or problem}.")
        self._saved_at = time.monotonic()
        self._interval = max(INTERVAL, (self._saved_at - began) / SHARE)
        return is_saved

    def remove(self) -> None:
        """Delete the file, and those in its folder that nobody took up."""
        for old in [self.path, *self.path.parent.glob("*.part")]:  # also what a killed process left of one half-written
            try:
                if old == self.path or time.time() - old.stat().st_mtime > DAYS * 86_400:
                    old.unlink(missing_ok=True)
            except OSError:  # as where a file stands in the folder's place, and nothing was saved
                continue
