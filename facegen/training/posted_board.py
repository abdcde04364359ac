"""A board that is a service: told from a thread of its own, so that nothing of it ends or delays the training."""

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

#: Seconds that the end of a run waits for what is still to be sent.
PATIENCE = 30.0
#: A user and a password within an address, which a library's message may quote.
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def remembered(path: Path) -> dict[str, str]:
    """What :func:`remember` wrote for an earlier part of the run; nothing where it did not, or the file is damaged."""
    try:
        known: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not all(isinstance(each, str) for each in known.values()):
        return {}
    return known


def remember(path: Path, told: Mapping[str, str]) -> None:
    """Write down which of a service's runs this one is, for who goes on with it."""
    write_text(path, json.dumps(told) + "\n")


class PostedBoard:
    """Tells another board what it is told. That one may take its time, and may raise anything.

    A service that cannot be opened is said once, and then told nothing. One that fails in between is said once as well,
    and told what follows: it may be back.

    Args:
        name: the service's, as it begins a sentence.
        open_service: opens it, in the thread; it is used in no other.
    """

    def __init__(self, name: str, open_service: Callable[[], Board]) -> None:
        self._name, self._open = name, open_service
        self._calls: queue.SimpleQueue[Callable[[Board], None] | None] = queue.SimpleQueue()
        # A daemon: a service that hangs does not keep the process.
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"tells {name}")
        self._thread.start()

    def add(self, step: int, values: Mapping[str, float | str]) -> None:
        told = dict(values)
        self._calls.put(lambda service: service.add(step, told))

    def picture(self, step: int, path: Path) -> None:
        self._calls.put(lambda service: service.picture(step, path))

    def close(self) -> None:
        """Wait for what is still to be sent, but not long."""
        self._calls.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            console.warn(
                f"{self._name} has not taken everything within {PATIENCE:g} seconds, and is not waited for any longer: "
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
                    self._warn("has not taken everything", problem)
                failed = True
                if call is None:
                    return

    def _warn(self, what: str, problem: Exception) -> None:
        told = str(problem).rstrip(".") if isinstance(problem, FacegenError) else in_words(problem)
        console.warn(
            f"{self._name} {what}: {_SECRET.sub('…@', told)}. Training goes on; log.jsonl has the same figures."
        )
