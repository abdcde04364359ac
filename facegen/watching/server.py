"""Serves the page of runs to this machine only. No other module listens on a port."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from facegen import __version__, console
from facegen.errors import EnvironmentProblem, FacegenError, in_words
from facegen.files import open_regular
from facegen.training.grids import Grid
from facegen.training.run_view import RunReader, RunView
from facegen.watching.curves import Curves
from facegen.watching.page import page, policy
from facegen.watching.shown_runs import missing_run, names_of, page_data, shown_run

#: The address to listen on, which only this machine can reach.
LOOPBACK = "127.0.0.1"
#: The default port, and how many ports after it are tried.
PORT, TRIED = 8600, 20
#: Host names that a browser may use. This excludes a foreign name that resolves to this machine (DNS rebinding).
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_GRID = re.compile(r"/grids/(\d{1,4})/(\d{1,9}(?:\.\d{1,6})?)\.png")
#: Seconds during which data is reused, however many pages ask for it.
_FRESH = 1.0


class Runs:
    """The runs of a page, read on request.

    Args:
        paths: Folders of the runs.

    Raises:
        InputError: One of the folders is not a run.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [Path(path) for path in paths]
        self._names = names_of(self._paths)
        self._readers = [RunReader(path) for path in self._paths]
        self._curves = [Curves() for _ in self._paths]
        self._lock = threading.Lock()
        self._shown: list[tuple[object, dict[str, Any]] | None] = [None] * len(self._paths)
        self._grids: list[dict[str, Grid]] = [{} for _ in self._paths]
        for place, reader in enumerate(self._readers):
            self._show(place, reader.read())
        self._read_at = time.monotonic()
        self._body = self._as_json()

    def data(self) -> bytes:
        """Return all data of the page, as JSON."""
        with self._lock:
            if time.monotonic() - self._read_at >= _FRESH:
                for place, reader in enumerate(self._readers):
                    try:
                        self._show(place, reader.read())
                    except FacegenError as problem:
                        shown = missing_run(self._paths[place], self._names[place], str(problem))
                        self._shown[place] = (None, shown)
                self._body = self._as_json()
                self._read_at = time.monotonic()
            return self._body

    def grid(self, place: int, kimg: str) -> Grid | None:
        """Return the grid of an address in :meth:`data`. None if there is none."""
        with self._lock:
            return self._grids[place].get(kimg) if place < len(self._grids) else None

    def _show(self, place: int, view: RunView) -> None:
        self._grids[place] = {_kimg(grid): grid for grid in view.grids}
        # Curves are thinned again only if there are new ticks.
        seen = (len(view.ticks), view.last_tick, view.state, view.grids, view.rollback, view.remarks, view.recipe)
        before = self._shown[place]
        if before is None or before[0] != seen:
            shown = shown_run(view, place, self._names[place], self._curves[place], view.grids, _address)
            self._shown[place] = (seen, shown)

    def _as_json(self) -> bytes:
        shown = [each[1] for each in self._shown if each is not None]
        data = page_data(shown, written=None, version=__version__)
        return json.dumps(data, allow_nan=False, separators=(",", ":")).encode()


def _kimg(grid: Grid) -> str:
    return grid.path.stem.removeprefix("kimg-")


def _address(place: int, grid: Grid) -> str:
    """Return a grid's address, which contains its time: after a rollback, another grid can have the same name."""
    try:
        written = grid.path.stat().st_mtime_ns
    except OSError:
        written = 0
    return f"grids/{place}/{_kimg(grid)}.png?{written}"


class WatchServer(ThreadingHTTPServer):
    """Serves the page of some runs at 127.0.0.1.

    Args:
        runs: The runs to show.
        port: The port to listen on. 0 for any free port. OSError if it is not free.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows it would let two programs use one port

    def __init__(self, runs: Runs, port: int) -> None:
        self.runs = runs
        super().__init__((LOOPBACK, port), _Handler)

    def server_bind(self) -> None:
        """Bind as a plain socket server. HTTPServer would also ask the network for this machine's name."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a browser that disconnects. Report any other error, and continue to serve."""
        import sys

        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, ConnectionError | TimeoutError):
            console.warn(f"A request could not be answered: {in_words(problem)}.")


def open_server(runs: Runs, port: int | None) -> WatchServer:
    """Open a server on ``port``; if that is None, on 8600 or the first free port after it.

    Raises:
        EnvironmentProblem: The port is in use, or none is free.
    """
    tried = [port] if port is not None else [*range(PORT, PORT + TRIED), 0]
    for each in tried:
        try:
            return WatchServer(runs, each)
        except OSError as problem:
            if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise EnvironmentProblem(
        f"Port {port} is in use, or not allowed.", "Name another with --port, or leave it out for one that is free."
    )


class _Handler(BaseHTTPRequestHandler):
    """Serves the page, its data and its grids. Everything else is not found."""

    server: WatchServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "facegen", ""
    timeout = 60

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            self._answer(403, "text/plain", b"This page is for the machine that it runs on.\n")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(200, "text/html", page(None).encode())
        elif path == "/data.json":
            self._answer(200, "application/json", self.server.runs.data())
        elif (named := _GRID.fullmatch(path)) and (grid := self.server.runs.grid(int(named[1]), named[2])):
            try:
                with open_regular(grid.path) as file:
                    picture = file.read()
            except OSError:  # it was removed in the meantime
                self._answer(404, "text/plain", b"This grid is gone.\n")
            else:
                self._answer(200, "image/png", picture, keep=True)
        else:
            self._answer(404, "text/plain", b"There is nothing here.\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what http.server itself refuses, such as a POST."""
        self.close_connection = True
        self._answer(code, "text/plain", f"{self.responses.get(code, ('Refused',))[0]}\n".encode())

    def _answer(self, code: int, kind: str, body: bytes, *, keep: bool = False) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind if kind == "image/png" else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "private, max-age=86400, immutable" if keep else "no-store")
        self.send_header("Content-Security-Policy", f"{policy(is_served=True)}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        console.detail(format % args)
