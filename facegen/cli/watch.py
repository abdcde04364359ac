"""``facegen watch``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console


@click.command(short_help="Show runs on a page while they train, or write it as a report.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_default="8600, or the next that is free",
    help="Port of 127.0.0.1 to serve the page at.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write the page as one file instead, with its data and pictures in it.",
)
def watch(runs: tuple[Path, ...], port: int | None, out: Path | None) -> None:
    """Show each RUN on a local page: scores, losses, what D believes, speed, time left, and faces through training.

    The page is served to this machine alone, and is up to date by itself until Ctrl-C. Runs that have ended work, too.
    To see it from another machine: ssh -L 8600:127.0.0.1:8600 USER@MACHINE, then http://127.0.0.1:8600/ there.
    """
    if out is not None and port is not None:
        raise click.UsageError("--port is for a page that is served, --out for one that is written.")
    from facegen.stages.watch import watch as watch_stage

    watched = watch_stage(runs, port=port, out=out)
    if watched.path is not None:
        console.result(str(watched.path))
