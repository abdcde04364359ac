"""The grids of a run: pictures that the averaged generator makes from the same latents at each checkpoint."""

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

#: Number of rows, and of images in each row; and the gap around each image, in pixels.
GRID_ROWS, GRID_GAP = 8, 2
GRID_IMAGES = GRID_ROWS**2
#: Maximum size of a grid's file, in bytes. A grid of 64 images at 256×256 has about 8 million.
_MOST_BYTES = 64 << 20
_NAME = re.compile(r"kimg-(\d{1,9}(?:\.\d{1,6})?)\.png")


@dataclass(frozen=True)
class Grid:
    """A grid of images from the fixed latents, after ``kimg`` thousand images; ``path`` is a PNG file."""

    kimg: float
    path: Path


def grid_path(run: Path, images_seen: int) -> Path:
    """Return the path of a run's grid after ``images_seen`` images."""
    return run / SAMPLES / f"kimg-{images_seen / 1000:010.3f}.png"


def run_grids(run: Path) -> tuple[Grid, ...]:
    """Return a run's grids in the order of their kimg. Files with other names are ignored.

    Raises:
        InputError: The folder of grids cannot be read.
    """
    try:
        files = list((run / SAMPLES).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as problem:
        raise InputError(
            f"Cannot read the grids in {run / SAMPLES}: {problem.strerror or problem}.", "Make the folder readable."
        ) from problem
    named = ((_NAME.fullmatch(path.name), path) for path in files)
    return tuple(sorted((Grid(float(name[1]), path) for name, path in named if name), key=lambda grid: grid.kimg))


def read_grid(grid: Grid) -> Image.Image:
    """Return a grid's picture, in RGB.

    Raises:
        OSError: The file cannot be read.
        Unreadable: The file is damaged, or is not a picture.
    """
    return decode(read_regular(grid.path, _MOST_BYTES), pytorch_fid_rgb).image.convert("RGB")


def spread_grids(grids: Sequence[Grid], most: int) -> list[Grid]:
    """Choose at most ``most`` grids, spaced as evenly as possible in the logarithm of kimg.

    The first and the last grid are among them. The logarithm is used because early training changes fast: as much
    from 10 to 20 kimg as from 100 to 200.
    """
    if len(grids) <= most:
        return list(grids)
    if most < 2:
        return list(grids[-most:]) if most else []
    places = log_places([grid.kimg for grid in grids])
    chosen = [0]
    for step in range(1, most - 1):
        wanted = step / (most - 1)
        # Leave enough grids for the places that follow.
        allowed = range(chosen[-1] + 1, len(grids) - (most - 1 - step))
        chosen.append(min(allowed, key=lambda at: abs(places[at] - wanted)))
    return [grids[at] for at in (*chosen, len(grids) - 1)]


def log_places(kimgs: Sequence[float]) -> list[float]:
    """Map increasing kimg to a scale from 0 to 1 that is even in the logarithm of kimg, counted from the first grid."""
    if len(kimgs) < 2 or kimgs[-1] <= kimgs[0]:
        return [float(at) / max(1, len(kimgs) - 1) for at in range(len(kimgs))]
    unit = max(kimgs[0] or min(kimg for kimg in kimgs if kimg > 0), 1e-3)  # One image is 0.001 kimg.
    logs = [math.log1p(max(0.0, kimg - kimgs[0]) / unit) for kimg in kimgs]
    return [each / logs[-1] for each in logs]
