"""The page of runs as one file, to keep or to mail."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from facegen import __version__
from facegen.data.decode import Unreadable
from facegen.errors import InputError
from facegen.files import open_regular, require_place, write_text, writing_told
from facegen.pages import data_uri
from facegen.training.grids import Grid, read_grid, spread_grids
from facegen.training.run_view import RunView
from facegen.watching.curves import Curves
from facegen.watching.page import MARK, page
from facegen.watching.shown_runs import names_of, page_data, shown_run

#: Maximum number of embedded grids per run, and maximum bytes of all grids before base64.
MOST_GRIDS, MOST_BYTES = 40, 9_000_000


@dataclass(frozen=True)
class Report:
    """A written report: its path, the number of embedded and of existing grids, and the names of damaged ones."""

    path: Path
    grids: int
    all_grids: int
    damaged: tuple[str, ...]


def require_report_place(path: Path) -> None:
    """Check before the work that a report may be written at ``path``.

    Raises:
        InputError: The suffix is not .html, or a file exists that is not a report of facegen.
        OSError: As :func:`facegen.files.require_place`.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} is not a name for a page.", "End it in .html.")
    require_place(path)
    if path.exists():
        with open_regular(path) as file:
            head = file.read(1024)
        if head and MARK.encode() not in head:
            raise InputError(
                f"{path} exists and was not made by facegen, so it is not replaced.", "Move it, or name another file."
            )


def write_watch_report(views: Sequence[RunView], path: Path) -> Report:
    """Write the page of runs to ``path``, with embedded data and pictures.

    Grids are chosen by :func:`spread_grids`, at most 40 per run and 9 MB in all, and embedded as JPEG.

    Raises:
        EnvironmentProblem: The page cannot be written.
    """
    most = MOST_GRIDS
    while True:
        chosen = [spread_grids(view.grids, most) for view in views]
        pictures, damaged = _pictures([grid for grids in chosen for grid in grids])
        if sum(map(len, pictures.values())) <= MOST_BYTES * 4 / 3 or most <= 2:
            break
        most = most * 2 // 3

    def address_of(place: int, grid: Grid) -> str:
        return pictures[grid.path]

    runs = [
        shown_run(view, place, name, Curves(), [grid for grid in chosen[place] if grid.path in pictures], address_of)
        for place, (view, name) in enumerate(zip(views, names_of([view.path for view in views]), strict=True))
    ]
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z")
    text = page(page_data(runs, written=written, version=__version__))
    with writing_told(f"Cannot write {path}", "Name another file."):
        write_text(path, text)
    return Report(path, len(pictures), sum(len(view.grids) for view in views), tuple(sorted(damaged)))


def _pictures(grids: Sequence[Grid]) -> tuple[dict[Path, str], list[str]]:
    """Return grids as data URIs by path, and the paths of those that cannot be read."""
    pictures, damaged = {}, []
    for grid in grids:
        try:
            image = read_grid(grid)
        except (Unreadable, OSError):
            damaged.append(str(grid.path))
            continue
        with io.BytesIO() as held:
            image.save(held, "JPEG", quality=88, subsampling=0)
            pictures[grid.path] = data_uri("image/jpeg", held.getvalue())
    return pictures, damaged
