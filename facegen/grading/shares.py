"""Grading a class on several processes and machines: ranks of torchrun, and shards that are merged afterwards."""

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
#: Minimum number of submissions for which starting processes to read them saves time.
_FEW = 8
#: Maximum number of worker processes. More would read faster than any network can follow.
_MOST_WORKERS = 4


def share_of(found: Sequence[Found], shard: Shard | None) -> list[Found]:
    """Return the submissions of shard ``(i, n)``: every n-th, starting with the i-th.

    Return all if ``shard`` is None.
    """
    if shard is None:
        return list(found)
    number, count = shard
    if not 1 <= number <= count:
        raise InputError(f"There is no shard {number} of {count}.", f"Use a shard from 1/{count} to {count}/{count}.")
    return list(found[number - 1 :: count])


def shard_folder(out: Path, shard: Shard) -> Path:
    """Return the folder for the leaderboard of a shard."""
    return out / f"shard-{shard[0]}-of-{shard[1]}"


@contextmanager
def alone_in(out: Path, ranks: Ranks, shard: Shard | None) -> Iterator[None]:
    """Keep other processes from grading the same submissions into ``out``. Processes of other shards may run.

    Raise EnvironmentProblem if another process holds the lock.
    """
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
        InputError: A submission could not be read, so nothing is known about it. This is raised after the others are
            graded.
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
    """Return the outcomes of submissions that any process has graded before.

    Raises:
        InputError: Some submissions are not graded or can no longer be read.
    """
    outcomes, unread, lacking = [], [], []
    with console.progress("Collecting the results", total=len(found), unit="submissions") as task:
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
            f"{len(lacking):,} of {len(found):,} submissions are not graded in {out} with these options: "
            f"{some([each.file for each in lacking])}.",
            f"Grade {_where(found, lacking, out)} with the same options first.",
        )
    return outcomes


def _where(found: Sequence[Found], lacking: Sequence[Found], out: Path) -> str:
    """Say what to grade: the shards of these submissions, if a shard's leaderboard tells how many shards there are."""
    counts = sorted({int(folder.name.rpartition("-")[2]) for folder in out.glob("shard-*-of-*")})
    if not counts:
        return "them"
    places = {each.file: place for place, each in enumerate(found)}
    numbers = sorted({places[each.file] % counts[-1] + 1 for each in lacking})
    shards = some([f"{number}/{counts[-1]}" for number in numbers])
    return f"the shard{'s' * (len(numbers) > 1)} {shards}"


def _unread(total: int, unread: Sequence[str]) -> InputError:
    return InputError(
        f"{len(unread):,} of {total:,} submissions could not be read: {some(unread)}. No leaderboard was written.",
        "Make these files readable or remove them, and run the command again. Finished results are kept.",
    )


def _line(outcome: Outcome) -> str:
    if outcome.rejection is not None:
        return f"{outcome.file}: rejected ({outcome.rejection.code.value}). {outcome.rejection.message}"
    assert outcome.graded is not None
    score, private = outcome.graded.score, outcome.graded.private
    beside = "" if private is None else f", private {private.value:.2f}"
    flags = ", ".join(flag.name for flag in outcome.graded.flags)
    return f"{outcome.file}: {score.label} {score.value:.2f}{beside}{'; ' + flags if flags else ''}."
