"""The grids of a run: pictures of the averaged generator's images of the same latents, one a checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from facegen.data.decode import decode
from facegen.data.rgb import pytorch_fid_rgb
from facegen.errors import InputError
from facegen.files import read_regular
from facegen.training.checkpoint import SAMPLES

#: The grid's images, which are as many rows of as many, and the pixels about each.
GRID_ROWS, GRID_GAP = 8, 2
GRID_IMAGES = GRID_ROWS**2
#: Bytes of a grid's file: one of 64 images at 256×256 has some 8 million.
_MOST_BYTES = 64 << 20
_NAME = re.compile(r"kimg-(\d{1,9}(?:\.\d{1,6})?)\.png")


@dataclass(frozen=True)
class Grid:
    """Images of the fixed latents, a PNG: after ``kimg`` thousand images were shown."""

    kimg: float
    path: Path


def grid_path(run: Path, images_seen: int) -> Path:
    """Where a run's grid is that was drawn after so many images."""
    return run / SAMPLES / f"kimg-{images_seen / 1000:010.3f}.png"


def run_grids(run: Path) -> tuple[Grid, ...]:
    """A run's grids by rising kimg; files of other names are none. InputError where their folder cannot be read."""
    try:
        files = list((run / SAMPLES).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as problem:
        raise InputError(
            f"Cannot read the grids in {run / SAMPLES}: {problem.strerror or problem}.", "Ask for the right to."
        ) from problem
    named = ((_NAME.fullmatch(path.name), path) for path in files)
    return tuple(sorted((Grid(float(name[1]), path) for name, path in named if name), key=lambda grid: grid.kimg))


def read_grid(grid: Grid) -> Image.Image:
    """A grid's picture, RGB. OSError where its file cannot be read; Unreadable where it is damaged, or no picture."""
    return decode(read_regular(grid.path, _MOST_BYTES), pytorch_fid_rgb).image.convert("RGB")


def spread_grids(grids: Sequence[Grid], most: int) -> list[Grid]:
    """At most ``most`` grids, the first and the last among them, as even as can be in the logarithm of their kimg.

    Early training changes fast: from 10 to 20 kimg as much as from 100 to 200.
    """
    if len(grids) <= most:
        return list(grids)
    if most < 2:
        return list(grids[-most:]) if most else []
    places = log_places([grid.kimg for grid in grids])
    chosen = [0]
    for step in range(1, most - 1):
        wanted = step / (most - 1)
        # As many must be left as are still to be chosen.
        allowed = range(chosen[-1] + 1, len(grids) - (most - 1 - step))
        chosen.append(min(allowed, key=lambda at: abs(places[at] - wanted)))
    return [grids[at] for at in (*chosen, len(grids) - 1)]


def log_places(kimgs: Sequence[float]) -> list[float]:
    """Rising kimg on a scale from 0 to 1, even in the logarithm of kimg from the first grid's on."""
    if len(kimgs) < 2 or kimgs[-1] <= kimgs[0]:
        return [float(at) / max(1, len(kimgs) - 1) for at in range(len(kimgs))]
    unit = max(kimgs[0] or min(kimg for kimg in kimgs if kimg > 0), 1e-3)  # an image is a thousandth
    logs = [math.log1p(max(0.0, kimg - kimgs[0]) / unit) for kimg in kimgs]
    return [each / logs[-1] for each in logs]
