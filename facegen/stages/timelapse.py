"""The timelapse stage: animate the faces of the same latents through training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.data.decode import Unreadable
from facegen.errors import InputError
from facegen.files import StrPath
from facegen.notebook.cards import card, facts, film_file, place
from facegen.pictures.animation import GIF_UNIT, require_video, save_gif, save_mp4
from facegen.pictures.captioned import captioned
from facegen.pictures.contact_sheet import contact_sheet, require_ours
from facegen.training.grids import GRID_GAP, GRID_IMAGES, GRID_ROWS, Grid, log_places, read_grid, spread_grids
from facegen.training.run_view import RunView, read_run

Pixels = npt.NDArray[np.uint8]
#: Maximum number of grids that are held in memory. A grid of 64 faces of 64×64 takes 0.8 MB.
MOST_GRIDS = 240
#: Seconds that the last faces stay, and maximum seconds of the cross-fade from one grid to the next.
HOLD, FADE = 2.0, 0.4
#: Default frames per second, and minimum width of the picture in pixels. Both are less for a GIF, which stores each
#: frame whole, with 256 colours.
MP4_FPS, GIF_FPS, MP4_WIDTH, GIF_WIDTH = 30, 10, 512, 256


@dataclass(frozen=True)
class TimelapseResult:
    """A timelapse that was drawn.

    Attributes:
        path: The file, a GIF or an MP4.
        grids: Number of the run's grids in it.
        images: Number of faces in each frame.
        kimg: The kimg of the first and of the last grid.
        seconds: Its length in seconds, including the last faces that stay.
    """

    path: Path
    grids: int
    images: int
    kimg: tuple[float, float]
    seconds: float

    def _repr_html_(self) -> str | None:
        words = f"{self.images:,} faces from kimg {self.kimg[0]:,g} to {self.kimg[1]:,g}"
        found = {"grids": f"{self.grids:,}", "lasts": f"{self.seconds:.1f} s"}
        return card(words, facts(found), film_file(self.path, words), place(self.path))


class Frame(NamedTuple):
    """One picture of the animation.

    ``grid`` is the index of a grid, and ``blend`` the fraction of the next grid mixed into it. ``kimg`` is the time
    shown, and ``repeats`` the number of frames that the picture lasts.
    """

    grid: int
    blend: float
    kimg: float
    repeats: int


def timelapse(
    run: StrPath, out: StrPath, *, images: int = 16, seconds: float = 12.0, fps: int | None = None
) -> TimelapseResult:
    """Draw the faces of a run's fixed latents through training, from its sample grids.

    Time follows the logarithm of kimg, because early training changes fast. Each grid turns into the next in a short
    cross-fade, and the last one stays for two seconds. The kimg and the latest score are written below the faces.

    Args:
        run: The folder of a run, which may still be training.
        out: The file to write: ``.gif``, or ``.mp4`` (H.264, which needs ``facegen[video]``).
        images: Number of faces of each grid to show, from 1 to 64; the first ones are taken.
        seconds: Time from the first grid to the last, in seconds. It must be above 0 and at most 600.
        fps: Frames per second, from 1 to 60; at most 50 for a GIF. By default 30 for an MP4 and 10 for a GIF.

    Raises:
        InputError: There is no such run; fewer than two grids can be read; the suffix is another one; a number is out
            of its range; or ``out`` is a file that facegen has not drawn.
        EnvironmentProblem: An MP4 needs PyAV with H.264, which is not installed.
    """
    run, out = Path(run), Path(out)
    is_gif = _require(out, images, seconds, fps)
    fps = fps or (GIF_FPS if is_gif else MP4_FPS)
    view = read_run(run)
    grids, faces = _read_grids(view, images)
    require_ours(out)
    if not is_gif:
        require_video(out)
    frames = schedule([grid.kimg for grid in grids], seconds, fps)
    width = contact_sheet(faces[0]).shape[1]
    scale = max(1, -(-(GIF_WIDTH if is_gif else MP4_WIDTH) // width))
    words = [_words(view, grid) for grid in grids]

    def drawn() -> Iterator[Pixels]:
        with console.progress(f"Drawing {out.name}", len(frames), "frames") as bar:
            for frame in frames:
                first, second = faces[frame.grid], faces[min(frame.grid + 1, len(faces) - 1)]
                mixed = first + frame.blend * (second.astype(np.float32) - first)
                sheet = contact_sheet(np.rint(mixed).astype(np.uint8))
                nearer = frame.grid + (frame.blend >= 0.5)
                yield captioned(sheet, *words[nearer], frame.kimg / grids[-1].kimg, scale=scale)
                bar.advance()

    if is_gif:
        save_gif(out, drawn(), [_milliseconds(frame.repeats, fps) for frame in frames])
    else:
        save_mp4(out, zip(drawn(), (frame.repeats for frame in frames), strict=True), fps)
    lasts = sum(frame.repeats for frame in frames) / fps
    console.info(
        f"{len(grids)} of {len(view.grids)} grids, from {grids[0].kimg:g} to {grids[-1].kimg:g} kimg, in {lasts:.1f} s."
    )
    return TimelapseResult(out, len(grids), images, (grids[0].kimg, grids[-1].kimg), lasts)


def _require(out: Path, images: int, seconds: float, fps: int | None) -> bool:
    """Return whether ``out`` is a GIF. Raise InputError for arguments out of their range."""
    suffix = out.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise InputError(f"The file {out} is not an animation.", "Use a name that ends in .mp4 or .gif.")
    if not 1 <= images <= GRID_IMAGES:
        raise InputError(f"A frame cannot show {images} images.", f"Use a number from 1 to {GRID_IMAGES}.")
    if not 0 < seconds <= 600:
        raise InputError(f"A timelapse cannot last {seconds:g} seconds.", "Use a number above 0 and at most 600.")
    most = 50 if suffix == ".gif" else 60
    if fps is not None and not 1 <= fps <= most:
        raise InputError(f"A {suffix} cannot have {fps} frames per second.", f"Use a number from 1 to {most}.")
    return suffix == ".gif"


def schedule(kimgs: Sequence[float], seconds: float, fps: int) -> list[Frame]:
    """Return the frames from the first grid to the last, and the one that stays at the end. There are at least two.

    Args:
        kimgs: The kimg of each grid, increasing.
        seconds: Time from the first grid to the last, in seconds.
        fps: Frames per second.
    """
    places = log_places(kimgs)
    steps = max(1, round(seconds * fps))
    frames: list[Frame] = []
    at = 0
    for step in range(steps):
        place = step / steps
        while places[at + 1] <= place + 1e-9:
            at += 1
        # A grid stays at first, and turns into the next at the end of its time.
        blend = max(0.0, 1 - (places[at + 1] - place) / min(places[at + 1] - places[at], FADE / seconds))
        blend *= blend * (3 - 2 * blend)
        if blend or not frames or frames[-1].grid != at:
            frames.append(Frame(at, blend, kimgs[at] + blend * (kimgs[at + 1] - kimgs[at]), 1))
        else:
            frames[-1] = frames[-1]._replace(repeats=frames[-1].repeats + 1)
    frames.append(Frame(len(kimgs) - 1, 0.0, kimgs[-1], max(1, round(HOLD * fps))))
    return frames


def _milliseconds(count: int, fps: int) -> int:
    return max(1, round(1000 * count / fps / GIF_UNIT)) * GIF_UNIT


def _words(view: RunView, grid: Grid) -> tuple[str, str]:
    """Return the two parts of a grid's caption: its kimg and the latest score.

    If that score was measured at an earlier kimg, the caption says at which.
    """
    kimg = f"{grid.kimg:.0f}" if grid.kimg >= 10 else f"{grid.kimg:.1f}"
    score = next((each for each in reversed(view.scores) if each.kimg <= grid.kimg + 1e-6), None)
    if score is None:
        return f"{kimg} kimg", ""
    before = "" if score.kimg > grid.kimg - 1e-6 else f" at {score.kimg:.0f} kimg"
    return f"{kimg} kimg", f"{view.metric or 'score'} {score.value:.1f}{before}"


def _read_grids(view: RunView, images: int) -> tuple[list[Grid], list[Pixels]]:
    """Return the grids to show, and the first faces of each, uint8 [images, S, S, 3].

    A warning names each grid left out.
    """
    read: list[tuple[Grid, Pixels]] = []
    for grid in spread_grids(view.grids, MOST_GRIDS):
        try:
            read.append((grid, _cells(np.asarray(read_grid(grid)))))
        except Unreadable as problem:
            console.warn(f"The grid {grid.path} is left out: {problem.reason}.")
        except OSError as problem:
            console.warn(f"The grid {grid.path} is left out: {problem.strerror or problem}.")
    sizes = Counter(cells.shape for _, cells in read)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        others = [grid for grid, cells in read if cells.shape != usual]
        read = [(grid, cells) for grid, cells in read if cells.shape == usual]
        console.warn(
            f"{len(others)} grid{'s are' if len(others) > 1 else ' is'} left out, such as {others[0].path}, because "
            f"the faces of the other grids have {usual[1]}×{usual[1]} pixels."
        )
    if len(read) < 2:
        raise InputError(
            f"The run {view.path} has {'one grid' if read else 'no grid'} that can be read. A timelapse needs two.",
            "Train longer. A grid is written with each checkpoint, every checkpoint_every kimg.",
        )
    return [grid for grid, _ in read], [cells[:images].copy() for _, cells in read]


def _cells(sheet: Pixels) -> Pixels:
    """Split a grid, uint8 [H, W, 3], into its images, uint8 [64, S, S, 3].

    Raises:
        Unreadable: The picture is not a grid.
    """
    height, width, _ = sheet.shape
    side, rest = divmod(width - GRID_GAP, GRID_ROWS)
    side -= GRID_GAP
    if height != width or rest or side < 1:
        raise Unreadable(f"its {width}×{height} pixels are not a grid of {GRID_ROWS}×{GRID_ROWS} images")
    cells = sheet[GRID_GAP:, GRID_GAP:].reshape(GRID_ROWS, side + GRID_GAP, GRID_ROWS, side + GRID_GAP, 3)
    return cells[:, :side, :, :side].swapaxes(1, 2).reshape(GRID_IMAGES, side, side, 3)
