"""The numbers that the commands take: each has an end, and is checked in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from facegen.cli.root import COMMANDS, main

#: These are a recipe's, an extractor's or a submission's, whose limits are said there.
CHECKED_ELSEWHERE = {
    "minutes",
    "batch",
    "seed",
    "score_every",
    "checkpoint_every",
    "dims",
    "size",
    "truncation",
}
#: Any distance can be a target.
WITHOUT_MOST = {"target"}


def test_every_number_has_a_range() -> None:
    context = click.Context(main)
    open_ended = []
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        for option in command.params:
            kind, checked = option.type, {*CHECKED_ELSEWHERE, *WITHOUT_MOST}
            ranged = isinstance(kind, (click.IntRange, click.FloatRange)) and None not in (kind.min, kind.max)
            number = isinstance(kind, (click.types.IntParamType, click.types.FloatParamType))
            if number and not ranged and option.name not in checked:
                open_ended.append(f"{name} {option.name}")
    assert open_ended == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "run", "images", "--batch", 10**12), "1000000000000 is not in the range 1<=x<=65536"),
        (("sample", "run", "images", "-n", 10**12), "is not in the range 1<=x<=10000000"),
        (("sample", "run", "images", "--truncation", "nan"), "A truncation of nan cannot give faces."),
        (("interpolate", "run", "a.png", "--rows", 1000, "--steps", 1000), "are 1,000,000 images. Draw at most 20,000"),
        (("fid", "images", "--reference", "real", "--target", "nan"), "'nan' is not a finite number."),
        (("grade", "submissions", "--reference", "real", "--target", "inf"), "'inf' is not a finite number."),
        (("pack", "images", "123", "--size", 64_000), "cannot have a side of 64,000 pixels. It is 4,096 at most."),
        (("run", "--kimg", "inf"), "inf is not in the range 0<x<=100000000"),
        (("prepare", "synthetic", "dataset", "--size", 10**6), "1000000 is not in the range 1<=x<=4096"),
    ],
)
def test_what_is_out_of_it_is_refused_in_a_sentence(
    facegen: Callable[..., Result],
    words: tuple[object, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = facegen(*words)
    assert outcome.exit_code == 2 and said in " ".join(outcome.stderr.split())
