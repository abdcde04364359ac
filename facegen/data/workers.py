"""Chunks of images through the transform, in worker processes, in order, a bounded number at a time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from types import ModuleType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facegen.data.decode import Unreadable
from facegen.data.sources import Chunk
from facegen.data.transform import resize_and_crop
from facegen.errors import EnvironmentProblem

Item = TypeVar("Item")
Made = TypeVar("Made")
#: More than Windows can wait for, and more than any disk keeps busy.
MAX_WORKERS = 61
#: Chunks in flight per worker: one in hand, one waiting, one on its way back.
_IN_FLIGHT = 3
#: Seconds between two looks for a Ctrl-C.
_PATIENCE = 0.1


@dataclass
class Block:
    """What became of a chunk: uint8 [n, S, S, 3] ``images`` with their ``names``; notes counted; (name, reason)s.

    ``pixels``: of all of them at their native size.
    """

    images: npt.NDArray[np.uint8]
    names: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    pixels: int = 0


def default_workers() -> int:
    """As many as the cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    return min(MAX_WORKERS, len(affinity(0)) if affinity else os.cpu_count() or 1)


def transform_chunk(chunk: Chunk, size: int, crop: int | None = None) -> Block:
    """Decode a chunk and bring its images to ``size``, after ``crop``; an unreadable one is listed instead."""
    block = Block(np.empty((0, size, size, 3), np.uint8))
    pictures = []
    for name, outcome in chunk.decode():
        try:
            if isinstance(outcome, Unreadable):
                raise outcome
            block.pixels += outcome.image.width * outcome.image.height
            pictures.append(resize_and_crop(outcome.image, size, crop))
        except Unreadable as problem:
            block.skipped.append((name, problem.reason))
            continue
        block.names.append(name)
        block.notes.update(outcome.notes)
    if pictures:
        block.images = np.stack(pictures)
    return block


def transform_chunks(
    chunks: Iterator[Chunk], size: int, workers: int, crop: int | None = None
) -> Generator[Block, None, None]:
    """A block for each chunk, in order; see :func:`in_order`."""
    return in_order(partial(transform_chunk, size=size, crop=crop), chunks, workers)


def in_order(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int, *, method: str | None = None
) -> Generator[Made, None, None]:
    """What a function makes of each item, in order, in processes that work ahead of who asks.

    Both must be fit to be sent to another process. ``workers`` below 2 means none: the function runs here.

    Args:
        function: what to call.
        items: what to call it with, taken as far ahead as three for each worker.
        workers: processes.
        method: how they start, as for :func:`multiprocessing.get_context`; None is the system's own way. Where this
            process has threads that hold locks, as torch's do, it must be ``"spawn"``.

    Close the generator to end the workers. EnvironmentProblem when they cannot start or one of them dies.
    """
    if workers < 2:
        yield from map(function, items)
        return
    try:
        context = get_context(method)
        pool = ProcessPoolExecutor(min(workers, MAX_WORKERS), mp_context=context, initializer=_start_worker)
    except OSError as problem:
        raise _workers_failed("could not be started", problem) from problem
    pending: deque[Future[Made]] = deque()
    rest, in_flight = iter(items), _IN_FLIGHT * workers
    try:
        while True:
            # Between two items it is the caller's time: a Ctrl-C is answered at once there.
            with _interrupts_held_back() as raise_interrupt:
                for item in islice(rest, in_flight - len(pending)):
                    raise_interrupt()
                    with _without_main():
                        pending.append(pool.submit(function, item))
                if not pending:
                    return
                while not wait([pending[0]], _PATIENCE).done:
                    raise_interrupt()
                made = pending.popleft().result()
                raise_interrupt()
            yield made
    except BrokenProcessPool as problem:
        raise _workers_failed("ended unexpectedly, perhaps for lack of memory", problem) from problem
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_main() -> Iterator[None]:
    """Inside, processes that start do not run the user's script once more.

    Where they do not begin as copies of this one (on Windows, on macOS, and anywhere from Python 3.14 on), each imports
    the script, for what it may define; and one without ``if __name__ == "__main__":`` begins all over in each. All that
    is sent to these is facegen's own, so they need no script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _interrupts_held_back() -> Iterator[Callable[[], None]]:
    """A function that raises KeyboardInterrupt if there was a Ctrl-C; until it is called, nothing does.

    Raised anywhere, it could leave a lock of the pool's taken for ever, and the pool's shutdown waiting for it.
    """
    pressed = threading.Event()

    def raise_interrupt() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    # Only the main thread may handle signals; and who ignores Ctrl-C, or handles it otherwise, goes on doing so.
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield raise_interrupt
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.set())
    try:
        yield raise_interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _workers_failed(how: str, problem: BaseException) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The worker processes that decode images {how}: {str(problem).rstrip('.')}.",
        "Try fewer, or --workers 1 for none.",
    )


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group: the parent alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The pool ends the others by SIGTERM where one died; by the command line's handler they would go on.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
