"""The leaderboard for the class: it shows pseudonyms and leaves out everything that identifies a student."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegen import console
from facegen.errors import InputError
from facegen.files import read_regular, write_text
from facegen.grading.fingerprints import Fingerprints
from facegen.grading.leaderboard import Leaderboard, guarded
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.page import render
from facegen.grading.rows import LeaderboardRow
from facegen.scoring.score import Score
from facegen.submission.rules import SUFFIX, Rejection

#: File names in the folder of the leaderboard.
PAGE, SALT, PSEUDONYMS = "class.html", "salt.txt", "pseudonyms.csv"
#: Letters of a pseudonym. It has no vowels, so it spells no words, and no characters that look like another one.
_LETTERS = "23456789BCDFGHJKMNPQRSTVWXZ"
_FEWEST, _LONGEST = 16, 4096


def read_salt(path: Path, *, make: bool) -> bytes:
    """Read the secret from which pseudonyms are made.

    Args:
        path: The file of the secret. Keep it: a different secret gives every student a different pseudonym.
        make: If there is no such file, write a new one that only its owner can read.

    Raises:
        InputError: The file does not exist, is not a regular file, or has fewer than 16 characters. Such a short
            secret can be guessed.
    """
    if make and not path.exists():
        _write_private(path, f"{secrets.token_hex(32)}\n")
    try:
        salt = read_regular(path, _LONGEST).strip()
    except OSError as problem:
        raise InputError(
            f"Cannot read the salt of the pseudonyms, {path}: {problem.strerror or problem}.",
            "Name a file that holds a secret of 16 characters or more.",
        ) from problem
    if len(salt) < _FEWEST:
        raise InputError(
            f"The salt of the pseudonyms in {path} has only {len(salt)} characters, so it can be guessed.",
            f"Write {_FEWEST} characters or more into the file, or delete it to get a new salt.",
        )
    if os.name != "nt" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        console.warn(f"Other users of this machine can read {path} and undo the pseudonyms. Run: chmod 600 {path}")
    return salt


def pseudonyms(rows: Iterable[LeaderboardRow], salt: bytes) -> dict[str, str]:
    """Return a pseudonym such as ``"7Q2K-X9T"`` for the name of each row (:attr:`LeaderboardRow.name`).

    A pseudonym is made from the student number and the salt with HMAC-SHA-256 (RFC 2104). It is therefore the same on
    every board, and nobody can find a student's pseudonym by trying numbers without the salt. Among 300 students, the
    chance that two get the same pseudonym is 4 in a million. Both then get a longer one.
    """
    texts = {row.name: f"{'student' if row.outcome.student_number else 'file'} {row.name}" for row in rows}
    letters = {name: _letters(hmac.new(salt, text.encode(), hashlib.sha256).digest()) for name, text in texts.items()}
    length = 7
    called = {name: text[:length] for name, text in letters.items()}
    while len(set(called.values())) < len(called) and length < 28:
        length += 3
        taken = list(called.values())
        called = {name: letters[name][:length] if taken.count(own) > 1 else own for name, own in called.items()}
    return {name: f"{own[:4]}-{own[4:]}" for name, own in called.items()}


def for_class(board: Leaderboard, called: Mapping[str, str]) -> Leaderboard:
    """Return the part of ``board`` that a class may see.

    It shows pseudonyms, ranks, values and verdicts, and the code and remedy of each rejection. Students who handed in
    nothing are left out. For all others, these are left out:

    - numbers, names, files, hashes, times, points, attempts and notes;
    - pictures, because a person who has seen someone's pictures would recognize the row;
    - flags, because a flag is between a student and the staff.

    Private values are left out unless they decide the ranks. Rows of the same rank are sorted by pseudonym, and so are
    rejected submissions.

    Args:
        board: The leaderboard of the staff.
        called: The pseudonym of every row, by the row's name (:func:`pseudonyms`).
    """
    by_private = board.ranked_by == "private"
    rows = [_row(row, called[row.name], called, by_private) for row in board.rows if row.outcome.status != "missing"]
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0, row.name))
    baselines = (
        _row(row, row.outcome.file.removesuffix(SUFFIX), called, by_private) for row in board.baselines if row.score
    )
    return replace(
        board,
        rows=tuple(rows),
        baselines=tuple(baselines),
        reference={"name": "", "n": board.reference.get("n"), "sha256": ""},
        private={"name": "", "n": None, "sha256": "", "measure": board.private["measure"]}
        if by_private and board.private
        else None,
    )


def write_for_class(board: Leaderboard, out: Path, salt: bytes) -> dict[str, str]:
    """Write the leaderboard for the class, ``class.html``, into the folder ``out``.

    Also write ``pseudonyms.csv``, which tells the staff who is who. Only its owner can read it.

    Returns:
        The pseudonym of every row, by the row's name.
    """
    called = pseudonyms(board.rows, salt)
    page = out / PAGE
    write_text(page, render(for_class(board, called), for_class=True))
    _write_private(out / PSEUDONYMS, _who_is_who(board.rows, called))
    console.info(f"Wrote {page}, for the class, and {PSEUDONYMS} beside it, which is for the staff only.")
    return called


def _row(row: LeaderboardRow, name: str, called: Mapping[str, str], private: bool) -> LeaderboardRow:
    outcome, graded, rejection = Outcome(name, name, None), row.outcome.graded, row.outcome.rejection
    if graded is not None:
        nothing = Fingerprints(*(np.empty(shape, dtype=np.uint64) for shape in (0, (0, 4), (0, 4))))
        kept = _score(graded.private) if private and graded.private else None
        score = replace(_score(graded.score), metrics={key: round(value, 6) for key, value in row.metrics.items()})
        outcome = replace(outcome, graded=GradedSubmission(score, (), nothing, (), (), b"", private=kept))
    if rejection is not None:
        bare = Rejection(rejection.code, "")
        bare.remedy = rejection.remedy
        outcome = replace(outcome, rejection=bare)
    tied = sorted(called[other] for other in row.tied_with if other in called)
    return LeaderboardRow(outcome, rank=row.rank, tied_with=tuple(tied))


def _score(score: Score) -> Score:
    """Return a score as it is printed, without further digits, hashes and what the images say about their origin."""
    low_high = score.interval95
    return replace(
        score,
        value=round(score.value, 4),
        interval95=None if low_high is None else (round(low_high[0], 4), round(low_high[1], 4)),
        weights_sha256="",
        reference_sha256="",
        warnings=(),
        metrics={},
        sampling=None,
        trained_against=None,
    )


def _letters(digest: bytes) -> str:
    number, letters = int.from_bytes(digest, "big"), ""
    while len(letters) < 40:
        number, place = divmod(number, len(_LETTERS))
        letters += _LETTERS[place]
    return letters


def _who_is_who(rows: Sequence[LeaderboardRow], called: Mapping[str, str]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("pseudonym", "student_number", "file"))
    for row in rows:
        cells = (called[row.name], row.outcome.student_number or "", row.outcome.file)
        writer.writerow([guarded(cell) for cell in cells])
    return table.getvalue()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read. Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")  # it has mode 600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
