"""A board for notebooks: curves and the newest grid below the progress bar, updated in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from facegen import notebook
from facegen.errors import InputError
from facegen.notebook.cards import block, picture_file
from facegen.notebook.live import Output, close_live, open_live
from facegen.pictures.line_chart import Line, line_chart
from facegen.training.grids import Grid, run_grids
from facegen.training.log import read_log
from facegen.training.recipe import Recipe
from facegen.training.run_view import figure, scores_of

#: For each run, the number of the cell that trained it.
_shown: dict[Path, int | None] = {}


class NotebookBoard:
    """A board that shows a run in the cell that trains it. For a resumed run, the curves include its past.

    Args:
        run: The folder of the run.
        recipe: The recipe of the run. The progress bar shows its name already.
        seen: Number of images shown before.
    """

    def __init__(self, run: Path, recipe: Recipe, seen: int) -> None:
        self._ticks = [tick for tick in read_log(run) if tick["kimg"] * 1000 <= seen + 0.5] if seen else []
        self._run = run.resolve()
        self._live = open_live(kimg=True)
        self._grid = Output()
        self._draw()
        if seen:
            for former in run_grids(run)[-1:]:
                self._show(former)

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        """Add a tick to the curves. Ticks with a higher kimg are removed, because a rollback has dropped them."""
        kimg = step / 1000
        there = [tick for tick in self._ticks if tick["kimg"] <= kimg + 1e-9]
        if there and there[-1]["kimg"] >= kimg - 1e-9:  # The late score of a tick that a stop had interrupted.
            there[-1] = {**there[-1], **values}
        else:
            there.append({"kimg": kimg, **values})
        self._ticks = there
        self._draw()

    def picture(self, step: int, path: Path) -> None:
        """Show a grid in place of the last one."""
        self._show(Grid(step / 1000, path))

    def close(self) -> None:
        close_live(self._live)
        _shown[self._run] = notebook.cell()

    def _draw(self) -> None:
        self._live.put(training_charts(self._ticks))

    def _show(self, grid: Grid) -> None:
        words = grid_words(grid)
        shown = picture_file(grid.path, words)
        if shown is not None:
            caption = Markup('<p class="state">{}</p>').format(words)
            self._grid.show(str(block(caption, shown)), words)


def training_charts(ticks: Sequence[Mapping[str, Any]]) -> Markup:
    """Return two charts side by side: the scores and the losses of a run's ticks over kimg.

    A chart without data is left out.
    """
    metric, scores, _ = scores_of(ticks)
    losses = [Line(f"loss of {name[-1].upper()}", _points(ticks, name)) for name in ("loss_d", "loss_g")]
    charts = [
        line_chart(
            f"{metric or 'score'} over kimg",
            [Line(metric or "score", [(score.kimg, score.value) for score in scores])],
            of="kimg",
            logarithmic=True,
            mark=True,
        ),
        line_chart("losses over kimg", losses, of="kimg"),
    ]
    return Markup('<div class="charts">{}</div>').format(Markup().join(chart for chart in charts if chart))


def _points(ticks: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(tick["kimg"], value) for tick in ticks if (value := figure(tick, name)) is not None]


def grid_words(grid: Grid) -> str:
    """Return the caption of a grid."""
    return f"Faces of the averaged generator after {grid.kimg:,g} kimg, from the same latents each time"


def run_parts(run: Path) -> tuple[Markup | None, ...]:
    """Return a run's charts and its newest grid, from its files; None for a part that cannot be read.

    If the present cell trained the run, it shows them already, and the result is empty.
    """
    here = notebook.cell()
    if here is not None and _shown.get(run.resolve()) == here:
        return ()
    try:
        ticks, grids = read_log(run), run_grids(run)
    except InputError:
        return (None,)
    newest = [picture_file(grid.path, grid_words(grid)) for grid in grids[-1:]] or [None]
    return training_charts(ticks) if ticks else None, *newest
