"""Watch: a page of runs, served during training or written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.files import StrPath, optional_path
from facegen.training.run_view import read_run
from facegen.watching.report import require_report_place, write_watch_report
from facegen.watching.server import PORT, Runs, open_server


@dataclass(frozen=True)
class WatchResult:
    """A page that was served or written.

    Attributes:
        runs: The runs that it showed.
        address: The address at which it was served. None for a report.
        path: The report. None if the page was served.
    """

    runs: tuple[Path, ...]
    address: str | None
    path: Path | None


def watch(runs: StrPath | Sequence[StrPath], *, port: int | None = None, out: StrPath | None = None) -> WatchResult:
    """Show runs on a page: curves, faces through training, speed and time left.

    Without ``out`` the page is served at 127.0.0.1, to this machine only, and the function returns after Ctrl-C. With
    ``out`` the page is written to a file with its data and pictures, at most 40 grids per run.

    Args:
        runs: One or more run folders.
        port: The port to serve at. 0 for any free port. By default 8600, or the first free port after it.
        out: The ``.html`` to write.

    Raises:
        InputError: There are no runs, a folder is not a run, or a file at ``out`` is not a report of facegen.
        EnvironmentProblem: The port is not free, or the report cannot be written.
    """
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) or not isinstance(runs, Sequence) else runs)]
    out = optional_path(out)
    if not paths:
        raise InputError("There is no run to watch.", "Name one or more.")
    if out is not None:
        return _write(paths, out)
    with open_server(Runs(paths), port) as server:
        console.result(server.address)
        console.info(
            "Open it in a browser on this machine. To open it on another machine, run there first: "
            f"ssh -L {PORT}:127.0.0.1:{server.server_port} USER@THIS-MACHINE, and open http://127.0.0.1:{PORT}/ there. "
            "Ctrl-C ends it."
        )
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            console.info("The page is no longer served.")
        return WatchResult(tuple(paths), server.address, None)


def _write(paths: Sequence[Path], out: Path) -> WatchResult:
    require_report_place(out)
    report = write_watch_report([read_run(path) for path in paths], out)
    if report.damaged:
        console.warn(f"{len(report.damaged)} grids cannot be read and are left out, for example {report.damaged[0]}.")
    size = out.stat().st_size / 1e6
    console.info(f"The report has {report.grids} of {report.all_grids} grids, and {size:.1f} MB.")
    return WatchResult(tuple(paths), None, out)
