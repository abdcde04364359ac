"""Grading of tarballs. The results are kept by the contents of the tarball, in pieces.

The pieces are the images, their features, their scores and their flags. Each depends on as little as possible, so that
a change invalidates as little as possible.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.code_hash import code_hash
from facegen.data.origin import Origin
from facegen.data.workers import in_order
from facegen.errors import EnvironmentProblem, InputError
from facegen.grading.examine import Examined, Examiner, Reader, Rejected, TarballReader, Unread
from facegen.grading.flags import FLAGS, Collections, Flag, SubmittedImages, code_of_checks, flags_of
from facegen.grading.found import Found
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.store import Store
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.score import Score
from facegen.scoring.scorer import Measured
from facegen.submission.open_tarball import UnreadableTarball
from facegen.submission.rules import LIMITS, Limits, Rejection

Features = npt.NDArray[np.float32]
PUBLIC, PRIVATE = "public", "private"


class Scores(Protocol):
    """The part of :class:`facegen.scoring.scorer.SetScorer` that a grader needs."""

    @property
    def key(self) -> str: ...

    @property
    def features_key(self) -> str: ...

    def features_of(self, images: npt.NDArray[np.uint8], description: str) -> Features: ...

    def measure(
        self, features: Features, properties: ImageProperties, origin: Origin, *, judge: bool = True
    ) -> Measured: ...

    def metrics_of(self, features: Features) -> Mapping[str, Any]: ...

    def judged(self, score: Score) -> Score: ...


class Grader:
    """Grades tarballs against one reference, or against a public and a private one.

    Copies are looked for in ``collections``. Results are kept in the folder ``cache`` and used again, unless ``force``.
    They are kept in pieces:

    - The images of a tarball depend on the limits, the reader and the code.
    - Their features depend on the extractor.
    - Their scores depend on the reference.
    - Their flags depend on the collections and the code of the checks.

    A new target therefore changes no piece, and a new reference does not require the network again. A rejection
    depends on the tarball, the limits and the reader.
    """

    def __init__(
        self,
        scorer: Scores,
        collections: Collections,
        cache: Path,
        *,
        private: Scores | None = None,
        force: bool = False,
        limits: Limits = LIMITS,
        reader: Reader | None = None,
    ) -> None:
        self._scorers = {PUBLIC: scorer} if private is None else {PUBLIC: scorer, PRIVATE: private}
        self._collections, self._limits = collections, limits
        self._store = Store(cache, force)
        keys = tuple(dict.fromkeys(each.features_key for each in self._scorers.values()))
        self._examiner = Examiner(self._store, limits, TarballReader() if reader is None else reader, keys)
        self._score_key = code_hash(__name__)
        self._flags_key = json.dumps([code_of_checks(__name__), scorer.key, _collections_key(collections)])

    def grade(self, found: Found) -> Outcome:
        """Grade a tarball.

        Only the name and the bytes of the tarball can lead to a rejection. Every other problem is raised, because it
        is not the student's fault. Earlier results are kept, and the next run continues from there.

        Args:
            found: The tarball.

        Raises:
            UnreadableTarball: The tarball does not exist, cannot be read, or changes while it is read.
            InputError: The score is not a number.
            EnvironmentProblem: There is too little memory, or a result cannot be written.
            OSError: The machine lacks something else.
        """
        ((_, outcome),) = self.grade_all([found])
        if isinstance(outcome, UnreadableTarball):
            raise outcome
        return outcome

    def grade_all(
        self, found: Sequence[Found], workers: int = 1
    ) -> Generator[tuple[Found, Outcome | UnreadableTarball], None, None]:
        """Grade tarballs and yield their outcomes in order; yield UnreadableTarball for a tarball that cannot be read.

        With two or more ``workers``, this many processes read tarballs ahead of the network, and a thread scores and
        compares behind it. Raise what :meth:`grade` raises, except for problems of a single file.
        """
        # A measure from outside the package may exist only in this process.
        foreign = any(rule.measure is not None and not rule.module.startswith("facegen.") for rule in FLAGS.values())
        examined = in_order(self._examiner.examine, found, 1 if foreign else workers, method="spawn")
        yield from self._behind(zip(found, _enough_memory(examined, found), strict=True), workers > 1)

    def kept(self, found: Sequence[Found]) -> Iterator[tuple[Found, Outcome | UnreadableTarball | None]]:
        """Yield the outcomes of tarballs that were graded before; None for a tarball that needs the network."""
        again = copy.copy(self)
        again._store = Store(self._store.folder)
        again._examiner = replace(self._examiner, store=again._store)
        for each in found:
            examined = again._examiner.examine(each)
            if isinstance(examined, Examined) and examined.images is not None:
                yield each, None
            else:
                yield from again._behind([(each, examined)], ahead=False)

    def _behind(
        self, examined: Iterable[tuple[Found, Examined | Rejected | Unread]], ahead: bool
    ) -> Generator[tuple[Found, Outcome | UnreadableTarball], None, None]:
        """Run the network on each submission and finish it.

        If ``ahead``, a thread finishes a submission while the network runs on the next one.
        """
        waiting: deque[tuple[Found, Future[tuple[Outcome | UnreadableTarball, list[str]]]]] = deque()

        def done() -> tuple[Found, Outcome | UnreadableTarball]:
            found, future = waiting.popleft()
            with _memory_told(found):
                outcome, broken = future.result()
            for sentence in broken:
                console.warn(f"{found.file}: {sentence}")
            return found, outcome

        with ThreadPoolExecutor(1) as thread:
            for each, so_far in examined:
                features: Mapping[str, Features] = {}
                try:
                    with _memory_told(each):
                        features = self._features(each, so_far) if isinstance(so_far, Examined) else {}
                except UnreadableTarball as problem:  # the file has changed since it was examined
                    so_far = Unread(problem.message, problem.remedy)
                future: Future[tuple[Outcome | UnreadableTarball, list[str]]]
                if ahead:
                    future = thread.submit(self._finish, each, so_far, features)
                else:
                    future = Future()
                    with _memory_told(each):
                        future.set_result(self._finish(each, so_far, features))
                waiting.append((each, future))
                while len(waiting) > int(ahead):
                    yield done()
            while waiting:
                yield done()

    def _features(self, found: Found, examined: Examined) -> dict[str, Features]:
        """Return the features of a submission's images by extractor key, from the store or from the network."""
        features = {}
        for scorer in self._scorers.values():
            key = scorer.features_key
            if key in features:
                continue
            path = self._examiner.features_path(examined, key)
            piece = self._store.arrays(path)
            if piece is not None and "features" in piece[0]:
                features[key] = piece[0]["features"]
                console.detail(f"{found.file}: Features come from {path.name}.")
                continue
            features[key] = scorer.features_of(self._examiner.images(found, examined), found.file)
            self._store.keep_arrays(path, {"features": features[key]}, {}, found.file)
        return features

    def _finish(
        self, found: Found, examined: Examined | Rejected | Unread, features: Mapping[str, Features]
    ) -> tuple[Outcome | UnreadableTarball, list[str]]:
        """Return the outcome, and a sentence for each flag check that raised an error.

        The notes hold these sentences too.
        """
        if isinstance(examined, Unread):
            return examined.problem(), []
        about, at = (found.file, examined.student_number, examined.sha256), found.submitted_at
        if isinstance(examined, Rejected):
            rejection = Rejection(examined.code, examined.message, self._limits)
            return Outcome(*about, rejection=rejection, submitted_at=at), []
        measured = {
            which: self._measured(found.file, examined, scorer, features[scorer.features_key])
            for which, scorer in self._scorers.items()
        }
        try:
            flags, broken = self._flags(found, examined, measured[PUBLIC].score)
        except UnreadableTarball as problem:  # the file has changed since it was examined
            return problem, []
        private = self._scorers[PRIVATE].judged(measured[PRIVATE].score) if PRIVATE in measured else None
        graded = GradedSubmission(
            score=self._scorers[PUBLIC].judged(measured[PUBLIC].score),
            flags=tuple(flags),
            fingerprints=examined.fingerprints,
            names=examined.names,
            notes=(*examined.notes, *broken),
            sheet=examined.sheet,
            pictures=examined.pictures,
            private=private,
            left_out={which: each.left_out for which, each in measured.items()},
        )
        return Outcome(*about, graded=graded, submitted_at=at), broken

    def _measured(self, file: str, examined: Examined, scorer: Scores, features: Features) -> Measured:
        path = self._store.path("score", self._score_key, scorer.key, examined.key)
        known = _measured_in(self._store, path)
        if known is not None:
            return known
        measured = scorer.measure(features, examined.properties, examined.origin, judge=False)
        if not math.isfinite(measured.score.value):
            raise InputError(
                f"The score of {file} is {measured.score.value}, which is not a number.",
                "The images are valid. Check the reference and the extractor's weights.",
            )
        score = replace(measured.score, metrics=dict(scorer.metrics_of(features)))
        self._store.keep_arrays(path, {"left_out": measured.left_out}, {"score": score.to_json()}, file)
        return replace(measured, score=score)

    def _flags(self, found: Found, examined: Examined, score: Score) -> tuple[list[Flag], list[str]]:
        path = self._store.path("flags", self._flags_key, examined.key)
        known = _flags_in(self._store, path)
        if known is not None:
            return known, []
        images = self._examiner.images(found, examined)
        submitted = SubmittedImages(
            images,
            examined.names,
            examined.fingerprints,
            score,
            self._collections,
            examined.measured,
            examined.likeness,
        )
        flags, broken = flags_of(submitted)
        broken = [*examined.broken, *broken]
        if not broken:
            fields = {"flags": [[flag.name, flag.message, flag.details] for flag in flags]}
            self._store.keep_fields(path, fields, found.file)
        return flags, broken


@contextmanager
def _memory_told(found: Found) -> Iterator[None]:
    try:
        yield
    except MemoryError as problem:
        raise EnvironmentProblem(
            f"There is too little memory to grade {found.file}.",
            "Close other programs and run the command again. It continues where it stopped.",
        ) from problem


def _enough_memory(
    examined: Generator[Examined | Rejected | Unread, None, None], found: Sequence[Found]
) -> Generator[Examined | Rejected | Unread, None, None]:
    """Yield from ``examined``; raise EnvironmentProblem with the file's name if there is too little memory for it."""
    try:
        for each in found:
            with _memory_told(each):
                so_far = next(examined)
            yield so_far
    finally:
        examined.close()


def _measured_in(store: Store, path: Path) -> Measured | None:
    """Return a score that was kept; None if it is missing or damaged."""
    piece = store.arrays(path)
    try:
        return None if piece is None else Measured(Score.from_json(piece[1]["score"]), piece[0]["left_out"])
    except (ValueError, KeyError, TypeError):
        return None


def _flags_in(store: Store, path: Path) -> list[Flag] | None:
    """Return flags that were kept; None if they are missing or damaged."""
    fields = store.fields(path)
    try:
        return None if fields is None else [Flag(*flag) for flag in fields["flags"]]
    except (KeyError, TypeError):
        return None


def _collections_key(collections: Collections) -> list[Any]:
    """Return hashes of the collections in which copies are looked for, and of the names that flags use."""
    known = (collections.reference, collections.training)
    names = [None if faces is None else json.dumps(faces.names).encode() for faces in known]
    arrays = (*(None if faces is None else faces.fingerprints.pixels for faces in known), collections.shipped)
    contents = (*names, *(None if array is None else array.tobytes() for array in arrays))
    return [None if each is None else hashlib.sha256(each).hexdigest() for each in contents] + [collections.face_share]
