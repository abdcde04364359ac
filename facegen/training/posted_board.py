"""A board for a slow or unreliable service.

A thread of its own talks to the service, so training never waits or fails.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from facegen import console
from facegen.errors import FacegenError, in_words
from facegen.files import write_text
from facegen.training.boards import Board

#: Seconds that the end of a run waits for the service to accept the rest.
PATIENCE = 30.0
#: A user name and password in an address. A message of the service's library may quote it.
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def remembered(path: Path) -> dict[str, str]:
    """Return what :func:`remember` wrote in an earlier part of the run; empty if the file is missing or damaged."""
    try:
        known: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not all(isinstance(each, str) for each in known.values()):
        return {}
    return known


def remember(path: Path, told: Mapping[str, str]) -> None:
    """Write down which run of a service this run is, so that a resumed run continues it."""
    write_text(path, json.dumps(told) + "\n")


class PostedBoard:
    """A board that passes everything on to another board, in a thread.

    The other board may be slow and may raise any exception. If it cannot be opened, one warning says so, and it
    receives nothing. If a call fails later, one warning says so too, but it receives the calls that follow, because
    the service may recover.

    Args:
        name: The name of the service, as it begins a sentence.
        open_service: Opens the other board. It runs in the thread, and the board is used in no other thread.
    """

    def __init__(self, name: str, open_service: Callable[[], Board]) -> None:
        self._name, self._open = name, open_service
        self._calls: queue.SimpleQueue[Callable[[Board], None] | None] = queue.SimpleQueue()
        # A daemon thread does not keep the process alive when the service hangs.
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"tells {name}")
        self._thread.start()

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        told = dict(values)
        self._calls.put(lambda service: service.add(step, told))

    def picture(self, step: int, path: Path) -> None:
        self._calls.put(lambda service: service.picture(step, path))

    def close(self) -> None:
        """Wait for the service to accept the rest, for at most :data:`PATIENCE` seconds."""
        self._calls.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            console.warn(
                f"{self._name} has not accepted everything within {PATIENCE:g} seconds, and facegen waits no longer. "
                "log.jsonl has the same figures."
            )

    def _work(self) -> None:
        try:
            service = self._open()
        except Exception as problem:  # noqa: BLE001 - a library's, of any kind: the training needs none of it
            self._warn("cannot be used", problem)
            return
        failed = False
        while True:
            call = self._calls.get()
            try:
                if call is None:
                    service.close()
                    return
                call(service)
            except Exception as problem:  # noqa: BLE001 - as above
                if not failed:
                    self._warn("has not accepted everything", problem)
                failed = True
                if call is None:
                    return

    def _warn(self, what: str, problem: Exception) -> None:
        told = str(problem).rstrip(".") if isinstance(problem, FacegenError) else in_words(problem)
        console.warn(
            f"{self._name} {what}: {_SECRET.sub('…@', told)}. Training continues, and log.jsonl has the same figures."
        )
