"""``facegen watch``."""

from __future__ import annotations

from pathlib import Path

import click

from facegen import console


@click.command(short_help="Show runs on a local page while they train.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_default="8600, or the next free port",
    help="Port on 127.0.0.1 at which the page is served.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write the page to this one file instead, with its data and pictures.",
)
def watch(runs: tuple[Path, ...], port: int | None, out: Path | None) -> None:
    """Show each RUN on a local page: scores, losses, speed, time left, and faces through training.

    The page is served to this machine only, and updates itself until you press Ctrl-C. Finished runs can be shown
    too. To see it
    from another machine, run there: ssh -L 8600:127.0.0.1:8600 USER@MACHINE, and open http://127.0.0.1:8600/.
    """
    if out is not None and port is not None:
        raise click.UsageError("--port is for serving the page and --out is for writing it. Use one of them.")
    from facegen.stages.watch import watch as watch_stage

    watched = watch_stage(runs, port=port, out=out)
    if watched.path is not None:
        console.result(str(watched.path))
