"""Transform chunks of images in worker processes, in order, with a bounded number in flight."""

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
#: Maximum number of workers. Windows cannot wait for more, and no disk keeps more busy.
MAX_WORKERS = 61
#: Chunks in flight per worker: one in hand, one waiting, one on its way back.
_IN_FLIGHT = 3
#: Seconds between two checks for a Ctrl-C.
_PATIENCE = 0.1


@dataclass
class Block:
    """The result of a chunk.

    Attributes:
        images: The transformed images, uint8 [n, S, S, 3].
        names: Their names.
        notes: The count of each note of the conversion to RGB.
        skipped: The name of each unreadable image, with the reason.
        pixels: Number of pixels of all images at their native size.
    """

    images: npt.NDArray[np.uint8]
    names: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    pixels: int = 0


def default_workers() -> int:
    """Return the number of cores that this process may use, at most :data:`MAX_WORKERS`."""
    affinity = getattr(os, "sched_getaffinity", None)  # Absent on macOS and Windows.
    return min(MAX_WORKERS, len(affinity(0)) if affinity else os.cpu_count() or 1)


def transform_chunk(chunk: Chunk, size: int, crop: int | None = None) -> Block:
    """Decode a chunk and transform its images by ``crop`` and ``size``. Unreadable images are listed as skipped."""
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
    """Yield a block for each chunk, in order; see :func:`in_order`."""
    return in_order(partial(transform_chunk, size=size, crop=crop), chunks, workers)


def in_order(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int, *, method: str | None = None
) -> Generator[Made, None, None]:
    """Yield ``function(item)`` for each item, in order, computed ahead in worker processes.

    The function and the items must be picklable. Close the generator to end the workers.

    Args:
        function: The function to call.
        items: The arguments. Up to three items per worker are taken ahead.
        workers: Number of processes. Below 2, the function runs in this process.
        method: The start method for :func:`multiprocessing.get_context`; None for the system's own. It must be
            ``"spawn"`` if this process has threads that hold locks, as torch has.

    Raises:
        EnvironmentProblem: The workers cannot start, or one of them dies.
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
            # While the caller handles an item, a Ctrl-C takes effect at once.
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
    """Prevent processes that start inside the block from running the user's script again.

    On Windows, on macOS, and everywhere from Python 3.14 on, a process does not start as a copy of this one. It
    imports the user's script for the definitions in it. A script without ``if __name__ == "__main__":`` would start
    over in each process. Only facegen's own objects are sent to the processes, so they do not need the script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _interrupts_held_back() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Ctrl-C was pressed. Inside the block nothing else raises it.

    Raised at any other point, it could leave a lock of the pool held for ever, and the pool's shutdown would hang.
    """
    pressed = threading.Event()

    def raise_interrupt() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    # Only the main thread may handle signals. A handler of the user's, or ignoring Ctrl-C, stays in effect.
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
        "Use fewer with --workers, or none with --workers 1.",
    )


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group. Only the parent reacts to it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If a worker died, the pool ends the others by SIGTERM. The command line's handler would keep them running.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone; otherwise it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
