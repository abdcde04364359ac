"""Spreads a class over processes and machines: ranks of torchrun, and shards that are merged afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facegen import console
from facegen.data.workers import default_workers
from facegen.errors import InputError
from facegen.grading.found import Found, some
from facegen.grading.grader import Grader
from facegen.grading.outcome import Outcome
from facegen.locks import sole_use
from facegen.submission.open_tarball import UnreadableTarball
from facegen.training.distributed import Ranks

Shard = tuple[int, int]
#: Below so many submissions, starting processes to read them takes longer than they save.
_FEW = 8
#: More read faster than any network takes.
_MOST_WORKERS = 4


def share_of(found: Sequence[Found], shard: Shard | None) -> list[Found]:
    """The submissions of shard ``(i, n)``: every n-th, from the i-th on. All where there is none."""
    if shard is None:
        return list(found)
    number, count = shard
    if not 1 <= number <= count:
        raise InputError(f"There is no shard {number} of {count}.", f"Shards are called 1/{count} to {count}/{count}.")
    return list(found[number - 1 :: count])


def shard_folder(out: Path, shard: Shard) -> Path:
    """Where the board of a shard is written."""
    return out / f"shard-{shard[0]}-of-{shard[1]}"


@contextmanager
def alone_in(out: Path, ranks: Ranks, shard: Shard | None) -> Iterator[None]:
    """Hold off other processes that grade the same into ``out``; a shard's others may. EnvironmentProblem as a lock."""
    if not ranks.is_writer:
        yield
        return
    held, what = (out / "cache", "") if shard is None else (shard_folder(out, shard), f"shard {shard[0]} ")
    with sole_use(held, f"grades {what}into {out}"):
        yield


def grade_share(
    grader: Grader, found: Sequence[Found], ranks: Ranks, workers: int | None, outcomes: list[Outcome]
) -> None:
    """Append the outcome of each of this rank's submissions.

    Raises:
        InputError: one could not be read: nothing is known of it. It is raised after the others are graded.
    """
    mine = found[ranks.rank :: ranks.world]
    if workers is None:
        workers = 1 if len(mine) < _FEW else min(_MOST_WORKERS, max(2, default_workers() // ranks.world))
    unread = []
    with console.progress("Grading", total=len(mine), unit="submissions") as task:
        task.note(mine[0].file[:40] if mine else "")
        for number, (each, outcome) in enumerate(grader.grade_all(mine, workers), 1):
            if isinstance(outcome, UnreadableTarball):
                if len(found) == 1:
                    raise outcome
                console.warn(str(outcome))
                unread.append(each.file)
            else:
                outcomes.append(outcome)
                console.info(_line(outcome))
            task.advance()
            task.note(mine[number].file[:40] if number < len(mine) else "")
    if ranks.any(bool(unread)) and ranks.world == 1:
        raise _unread(len(found), unread)


def merged(grader: Grader, found: Sequence[Found], out: Path) -> list[Outcome]:
    """The outcomes of submissions that were graded before, by whatever process.

    Raises:
        InputError: some are not graded, or can no longer be read.
    """
    outcomes, unread, lacking = [], [], []
    with console.progress("Joining what is graded", total=len(found), unit="submissions") as task:
        for each, outcome in grader.kept(found):
            if isinstance(outcome, UnreadableTarball):
                console.warn(str(outcome))
                unread.append(each.file)
            elif outcome is None:
                lacking.append(each)
            else:
                outcomes.append(outcome)
            task.advance()
    if unread:
        raise _unread(len(found), unread)
    if lacking:
        raise InputError(
            f"Of {len(found):,} submissions {len(lacking):,} are not graded in {out} by this measure: "
            f"{some([each.file for each in lacking])}.",
            f"Grade {_where(found, lacking, out)} with the same options first.",
        )
    return outcomes


def _where(found: Sequence[Found], lacking: Sequence[Found], out: Path) -> str:
    """What to grade: the shards that the submissions are in, where a board of one tells how many there are."""
    counts = sorted({int(folder.name.rpartition("-")[2]) for folder in out.glob("shard-*-of-*")})
    if not counts:
        return "them"
    places = {each.file: place for place, each in enumerate(found)}
    numbers = sorted({places[each.file] % counts[-1] + 1 for each in lacking})
    shards = some([f"{number}/{counts[-1]}" for number in numbers])
    return f"the shard{'s' * (len(numbers) > 1)} {shards}"


def _unread(total: int, unread: Sequence[str]) -> InputError:
    return InputError(
        f"Of {total:,} submissions {len(unread):,} could not be read: {some(unread)}. So there is no leaderboard.",
        "Let them be read, or take them out, and run it again: what is graded is kept.",
    )


def _line(outcome: Outcome) -> str:
    if outcome.rejection is not None:
        return f"{outcome.file}: rejected ({outcome.rejection.code.value}). {outcome.rejection.message}"
    assert outcome.graded is not None
    score, private = outcome.graded.score, outcome.graded.private
    beside = "" if private is None else f", private {private.value:.2f}"
    flags = ", ".join(flag.name for flag in outcome.graded.flags)
    return f"{outcome.file}: {score.label} {score.value:.2f}{beside}{'; ' + flags if flags else ''}."
