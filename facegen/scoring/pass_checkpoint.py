"""Checkpoints of a pass over a reference's images, so that an interrupted pass need not start again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from facegen import console
from facegen.files import atomic_path, read_arrays
from facegen.scoring.features import FeaturePass

#: Minimum seconds between two checkpoints, and the largest fraction of the time that writing them may take.
INTERVAL, SHARE = 20.0, 0.02
#: An interrupted pass is given up after this many days.
DAYS = 7


class PassCheckpoint:
    """The file from which an interrupted pass over images continues.

    The file's name identifies the images and the features. It is written under another name and then renamed, so it is
    complete whenever the process is killed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._interval = INTERVAL
        self._saved_at = time.monotonic()

    def begin(self, dims: int, total: int, description: str) -> FeaturePass:
        """Return the pass over ``total`` images, where it was interrupted or at the first image."""
        so_far = FeaturePass(dims, total)
        if not self.path.is_file():
            return so_far
        try:
            so_far.restore(read_arrays(self.path))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            console.warn(
                f"{description}: starting again with the first image, because {self.path} is damaged: {problem}."
            )
            so_far.close()
            return FeaturePass(dims, total)
        console.info(f"{description}: continuing after {so_far.n:,} of {total:,} images.")
        return so_far

    def save_if_due(self, so_far: FeaturePass) -> None:
        """Save the pass, unless it was saved a short while ago."""
        if time.monotonic() - self._saved_at >= self._interval:
            self.save(so_far)

    def save(self, so_far: FeaturePass) -> bool:
        """Save the pass and return whether it was saved; it is not if the folder cannot be written."""
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
        """Delete the file, and files in its folder that nobody has continued."""
        for old in [self.path, *self.path.parent.glob("*.part")]:  # also half-written files of killed processes
            try:
                if old == self.path or time.time() - old.stat().st_mtime > DAYS * 86_400:
                    old.unlink(missing_ok=True)
            except OSError:  # for example, if a file stands in the folder's place and nothing was saved
                continue
