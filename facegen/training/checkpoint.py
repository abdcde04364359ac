"""The checkpoints of a run, to go on from."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from facegen import console
from facegen.errors import InputError, in_words
from facegen.files import OTHER_CONTENTS, Damaged, atomic_path, require_whole_zip
from facegen.held_file import HeldFile
from facegen.printable import printable
from facegen.training.hyperparameter import MOST_KIMG
from facegen.training.networks import FEATURES, PIXELS
from facegen.training.recipe import Recipe
from facegen.weights.content import contents_sha256
from facegen.weights.state_dicts import require_honest_zip

#: The version of ``checkpoints/*.pt``; it grows when a file of before would be misread. 2: with the state of the
#: augmentation. 3: the critic of features has other layers; without one, 2 is the same. 4: the trainer's state is under
#: ``trainer``, where 3 had ``game``.
#:
#: A file also holds a hash of its contents, which is compared on reading; one from before there was a hash is read as
#: it is. The fields of a recipe in it may have former names: :mod:`facegen.training.former_recipes`.
CHECKPOINT_SCHEMA = 4
#: The key of the trainer's state in a checkpoint, and what it was called before schema 4: read, and no longer written.
TRAINER, FORMER_TRAINER = "trainer", "game"
TRAINER_SHA256 = "trainer_sha256"
RECIPE, CHECKPOINTS, SAMPLES = "recipe.toml", "checkpoints", "samples"
#: What is kept of a collapse from which a run was rolled back.
ROLLBACK = "rollback.json"
#: What older checkpoints lack.
_LATER = frozenset({"aside_seconds", "best_by", "is_settled", "owes_score", "rate_factor", "troubled"})
#: How many checkpoints stay: a damaged newest one leaves another to go on from.
KEPT = 2


def checkpoint_files(run: Path) -> list[Path]:
    """A run's checkpoints, newest first. OSError where its folder of them is there, and cannot be read."""
    try:
        entries = list((run / CHECKPOINTS).iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if not run.is_dir():  # a file in the place of a run has none
            return []
        raise
    return sorted((path for path in entries if path.match("kimg-*.pt")), reverse=True)


def save_checkpoint(run: Path, state: dict[str, Any]) -> Path:
    """Write ``state`` (with ``images_seen``) whole or not at all; then delete all but the newest few.

    OSError where it cannot be written; those before it stay.
    """
    path = checkpoint_path(run, state["images_seen"])
    write_checkpoint(path, state)
    for old in checkpoint_files(run)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def checkpoint_path(run: Path, images_seen: int) -> Path:
    """Where a run's checkpoint of so many images is."""
    return run / CHECKPOINTS / f"kimg-{images_seen / 1000:010.3f}.pt"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write one whole or not at all, and on the disk before anything else is deleted. OSError as save_checkpoint."""
    hashed = {TRAINER_SHA256: _trainer_sha256(state)}
    with atomic_path(path) as temporary:
        _save({**state, "schema": CHECKPOINT_SCHEMA, **hashed}, temporary)
    _keep_entries(path.parent)


def _save(state: dict[str, Any], path: Path) -> None:
    """:func:`torch.save`, but OSError where the file cannot be written: torch hides it behind an error of its own."""
    with path.open("wb", buffering=0) as file:
        try:
            torch.save(state, cast(IO[bytes], _AllOrError(file, path)))
        except RuntimeError as problem:
            cause = problem.__context__
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__context__
            if cause is None:
                raise
            raise cause from None


class _AllOrError:
    """A file to write to that takes all of each piece, or raises OSError with its name."""

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file, self._path = file, path

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as problem:
                raise OSError(problem.errno, problem.strerror, str(self._path)) from problem
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def _keep_entries(folder: Path) -> None:
    """Have the folder's entries on the disk, so that what is deleted next is not missed after a loss of power."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # a file system that has no such thing
        pass
    finally:
        os.close(handle)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU. No pickled code is run: ``weights_only=True``.

    Raises:
        InputError: the file is damaged, or of another schema. Where it is damaged, the remedy names the newest one
            before it that is whole.
    """
    try:
        return read_checkpoint(path)
    except Damaged as problem:
        raise InputError(f"The checkpoint {path} is damaged: {problem}.", _instead_of(path)) from problem


def newest_checkpoint(run: Path, *, is_writer: bool = True) -> dict[str, Any] | None:
    """The state of a run's newest checkpoint that is whole, None where there is none at all.

    A damaged one is said, and gets another name. It stays, for it may tell of a disk that fails.

    Args:
        run: its folder.
        is_writer: this process alone writes to the run. Others, its ranks, say and rename nothing.

    Raises:
        InputError: all are damaged, or the newest whole one is of another schema.
    """
    damaged: dict[Path, Damaged] = {}
    for path in checkpoint_files(run):
        try:
            state = read_checkpoint(path)
        except Damaged as problem:
            damaged[path] = problem
            continue
        except _Gone:  # it was damaged, and the writer was quicker
            continue
        for each, how in damaged.items() if is_writer else ():
            each.replace(each.with_name(f"{each.name}.damaged"))
            console.warn(
                f"The checkpoint {each} is damaged: {how}. It is called {each.name}.damaged now, and training goes "
                f"on from the one before it, {path.name}."
            )
        return state
    for newest, how in damaged.items():
        raise InputError(f"The checkpoint {newest} is damaged: {how}.", _instead_of(newest)) from how
    return None


class _Gone(InputError):
    """A checkpoint that was there a moment ago."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What the file holds, by present names.

    Raises:
        Damaged: it is not what was written, or not what training writes.
        InputError: it cannot be opened, or is of another schema.
    """
    try:
        held = HeldFile(path)
    except OSError as problem:  # which tells nothing of what it holds
        kind = _Gone if isinstance(problem, FileNotFoundError) else InputError
        raise kind(
            f"Cannot read the checkpoint {path}: {problem.strerror or problem}.",
            "Mend that, or move it out of the run to go on without it.",
        ) from problem
    require_honest_zip(held)
    require_whole_zip(held.file)  # torch does not compare the zip's own sums
    held.file.seek(0)
    try:
        state = torch.load(held.file, map_location="cpu", weights_only=True)
    except MemoryError:  # no flaw of the file
        raise
    except Exception as problem:  # whatever its zip and pickle readers raise
        if "allocate memory" in str(problem):  # torch's own error of the kind
            raise
        raise Damaged(str(problem).partition("\n")[0].rstrip(".") or in_words(problem)) from problem
    sha256 = state.pop(TRAINER_SHA256, None) if isinstance(state, dict) else None
    if sha256 is not None and sha256 != _trainer_sha256(state):
        raise Damaged(OTHER_CONTENTS)
    if not isinstance(state, dict) or not _can_go_on(state):
        raise InputError(f"The checkpoint {path} is not one of this version of facegen.", "Start a new run.")
    if FORMER_TRAINER in state:
        state[TRAINER] = state.pop(FORMER_TRAINER)
    _require_fields(state)
    return state


def _require_fields(state: dict[str, Any]) -> None:
    """Damaged where a checkpoint lacks what training goes on from, or where that is of another type or range."""
    wanted: dict[str, Callable[[Any], bool]] = {
        TRAINER: lambda value: isinstance(value, dict),
        "images_seen": lambda value: type(value) is int and 0 <= value <= 1000 * MOST_KIMG,
        "recipe": lambda value: isinstance(value, dict),
        "dataset_sha256": lambda value: isinstance(value, str),
        "seconds": _is_time,
        "aside_seconds": _is_time,
        "best": lambda value: value is None or (type(value) in (int, float) and math.isfinite(value)),
        "best_by": lambda value: value is None or isinstance(value, str),
        "is_settled": lambda value: isinstance(value, bool),
        "owes_score": lambda value: isinstance(value, bool),
        "rate_factor": lambda value: type(value) in (int, float) and 0 < value <= 1,
        "troubled": lambda value: isinstance(value, bool),
    }
    for name, fits in wanted.items():
        if name not in state and name not in _LATER:
            raise Damaged(f"it lacks {name}")
        if name in state and not fits(state[name]):
            raise Damaged(f"its {name} cannot be {printable(repr(state[name]))[:40]}")
    for network in ("generator", "ema", PIXELS, FEATURES):
        weights = state[TRAINER].get(network)
        if isinstance(weights, dict) and not all(map(_is_finite, weights.values())):
            raise Damaged(f"the weights of {network} hold NaN or infinity, as of a training that diverged")


def owes_score(checkpoint: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether a score was due as the checkpoint was saved, and was broken off; and the recipe still scores."""
    return bool(checkpoint.get("owes_score") and recipe.score_every)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _trainer_sha256(state: dict[str, Any]) -> str:
    return contents_sha256(state.get(TRAINER, state.get(FORMER_TRAINER)))


def _instead_of(damaged: Path) -> str:
    """What to do about a damaged checkpoint. Nobody but the user deletes it: it may tell of a disk that fails."""
    for path in checkpoint_files(damaged.parent.parent):
        if path < damaged:
            try:
                read_checkpoint(path)
            except (Damaged, InputError):
                continue
            return f"Delete it to go on from the one before it, {path.name}, which is whole."
    return "Delete it; no checkpoint before it is whole: delete all of them, and training starts anew."


def _can_go_on(state: dict[str, Any]) -> bool:
    schema = state.get("schema")
    return schema in (3, CHECKPOINT_SCHEMA) or (schema == 2 and not state.get("recipe", {}).get("features"))
