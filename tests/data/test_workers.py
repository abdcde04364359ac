"""Workers: same blocks in the same order, few at a time, and words when one dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facegen.data.sources import Chunk, open_source
from facegen.data.workers import _interrupts_held_back, _start_worker, default_workers, transform_chunks
from facegen.errors import EnvironmentProblem


@pytest.fixture
def chunks(store: Callable[..., Path], png: Callable[[int], bytes]) -> Callable[[], Iterator[Chunk]]:
    files = {f"{at}.png": png(at) for at in range(150)} | {"40.png": b"not a picture"}
    source = open_source(store("faces.zip", files))
    return lambda: source.chunks(source.names)


def test_workers_change_nothing(chunks: Callable[[], Iterator[Chunk]]) -> None:
    alone, together = (list(transform_chunks(chunks(), 8, workers)) for workers in (1, 2))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert (one.names, one.skipped, one.notes) == (other.names, other.skipped, other.notes)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_listed_and_the_others_are_there(
    chunks: Callable[[], Iterator[Chunk]], workers: int
) -> None:
    blocks = list(transform_chunks(chunks(), 8, workers))
    assert [name for block in blocks for name, _ in block.skipped] == ["40.png"]
    assert [len(block.images) for block in blocks] == [len(block.names) for block in blocks]
    assert sum(len(block.names) for block in blocks) == 149


def test_no_more_chunks_are_taken_than_are_in_flight(chunks: Callable[[], Iterator[Chunk]]) -> None:
    taken = 0

    def counted() -> Iterator[Chunk]:
        nonlocal taken
        for chunk in [next(chunks())] * 50:
            taken += 1
            yield chunk

    with closing(transform_chunks(counted(), 8, 2)) as blocks:
        next(blocks)
    assert taken <= 8


def test_a_workers_death_is_told(chunks: Callable[[], Iterator[Chunk]]) -> None:
    deadly: Any = SimpleNamespace(decode=partial(os._exit, 9))  # picklable wherever processes are spawned
    with pytest.raises(EnvironmentProblem, match="--workers 1"):
        list(transform_chunks(iter([*chunks(), deadly, *chunks()]), 8, 2))


def test_workers_do_not_keep_the_command_lines_answer_to_sigterm() -> None:
    """By that one those that are left would go on, and the pool would wait for them for ever."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _start_worker()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_default_is_the_cores_there_are() -> None:
    assert 1 <= default_workers() <= (os.cpu_count() or 1)


def test_a_ctrl_c_waits_for_a_safe_moment_and_the_handler_comes_back() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _interrupts_held_back() as raise_interrupt:
            raise_interrupt()
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                raise_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
