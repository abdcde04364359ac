"""The checkpoints of a run, from which training continues."""

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

#: The schema of ``checkpoints/*.pt``. It grows when this version would misread an older file. Schema 2 adds the state
#: of the augmentation. Schema 3 has other layers in the critic of features; without that critic it equals schema 2.
#: Schema 4 has the trainer's state under ``trainer``, where schema 3 has it under ``game``.
#:
#: A file also holds a hash of its contents, which is compared on reading. A file from before there was a hash is read
#: without the comparison. The recipe in a file may use former field names: see :mod:`facegen.training.former_recipes`.
CHECKPOINT_SCHEMA = 4
#: The key of the trainer's state in a checkpoint, and the key before schema 4. The latter is read but never written.
TRAINER, FORMER_TRAINER = "trainer", "game"
TRAINER_SHA256 = "trainer_sha256"
RECIPE, CHECKPOINTS, SAMPLES = "recipe.toml", "checkpoints", "samples"
#: The file that records the collapse from which a run was rolled back.
ROLLBACK = "rollback.json"
#: Fields that older checkpoints lack.
_LATER = frozenset({"aside_seconds", "best_by", "is_settled", "owes_score", "rate_factor", "troubled"})
#: Number of checkpoints that a run keeps. With two, training can continue when the newest one is damaged.
KEPT = 2


def checkpoint_files(run: Path) -> list[Path]:
    """Return the paths of a run's checkpoints, newest first.

    Raises:
        OSError: The folder of checkpoints exists but cannot be read.
    """
    try:
        entries = list((run / CHECKPOINTS).iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if not run.is_dir():  # A file stands where the run would be, so there are no checkpoints.
            return []
        raise
    return sorted((path for path in entries if path.match("kimg-*.pt")), reverse=True)


def save_checkpoint(run: Path, state: dict[str, Any]) -> Path:
    """Write a checkpoint atomically, then delete all but the newest :data:`KEPT`; return the path.

    Args:
        run: The folder of the run.
        state: The state to save, with ``images_seen`` among its keys.

    Raises:
        OSError: The file cannot be written. The earlier checkpoints remain.
    """
    path = checkpoint_path(run, state["images_seen"])
    write_checkpoint(path, state)
    for old in checkpoint_files(run)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def checkpoint_path(run: Path, images_seen: int) -> Path:
    """Return the path of a run's checkpoint after ``images_seen`` images."""
    return run / CHECKPOINTS / f"kimg-{images_seen / 1000:010.3f}.pt"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically, and flush it to the disk so that older ones can be deleted safely.

    Raises:
        OSError: The file cannot be written.
    """
    hashed = {TRAINER_SHA256: _trainer_sha256(state)}
    with atomic_path(path) as temporary:
        _save({**state, "schema": CHECKPOINT_SCHEMA, **hashed}, temporary)
    _keep_entries(path.parent)


def _save(state: dict[str, Any], path: Path) -> None:
    """Save with :func:`torch.save`, but raise OSError if the file cannot be written.

    torch hides the OSError behind an error of its own.
    """
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
    """A file for torch to write to. Each write takes all of the data or raises OSError with the file's name."""

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
    """Flush the folder's entries to the disk.

    Otherwise a loss of power could leave neither the new file nor the one that is deleted next.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # The file system does not support this.
        pass
    finally:
        os.close(handle)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's state, with its tensors on the CPU.

    No pickled code runs, because torch loads with ``weights_only=True``.

    Raises:
        InputError: The file is damaged or has another schema. For a damaged file, the remedy names the newest earlier
            checkpoint that is whole.
    """
    try:
        return read_checkpoint(path)
    except Damaged as problem:
        raise InputError(f"The checkpoint {path} is damaged: {problem}.", _instead_of(path)) from problem


def newest_checkpoint(run: Path, *, is_writer: bool = True) -> dict[str, Any] | None:
    """Return the state of a run's newest whole checkpoint, or None if it has no checkpoint.

    A damaged checkpoint is reported and renamed. It is not deleted, because it may be evidence of a failing disk.

    Args:
        run: The folder of the run.
        is_writer: Whether this process is the only one that writes to the run. Other ranks report and rename nothing.

    Raises:
        InputError: All checkpoints are damaged, or the newest whole one has another schema.
    """
    damaged: dict[Path, Damaged] = {}
    for path in checkpoint_files(run):
        try:
            state = read_checkpoint(path)
        except Damaged as problem:
            damaged[path] = problem
            continue
        except _Gone:  # It was damaged, and the writing rank has renamed it already.
            continue
        for each, how in damaged.items() if is_writer else ():
            each.replace(each.with_name(f"{each.name}.damaged"))
            console.warn(
                f"The checkpoint {each} is damaged: {how}. It was renamed to {each.name}.damaged, and training "
                f"continues from the previous checkpoint, {path.name}."
            )
        return state
    for newest, how in damaged.items():
        raise InputError(f"The checkpoint {newest} is damaged: {how}.", _instead_of(newest)) from how
    return None


class _Gone(InputError):
    """A checkpoint existed a moment ago and no longer does."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the contents of a checkpoint, under their present names.

    Raises:
        Damaged: The file is not as it was written, or training did not write it.
        InputError: The file cannot be opened, or has another schema.
    """
    try:
        held = HeldFile(path)
    except OSError as problem:  # This says nothing about the file's contents.
        kind = _Gone if isinstance(problem, FileNotFoundError) else InputError
        raise kind(
            f"Cannot read the checkpoint {path}: {problem.strerror or problem}.",
            "Make it readable, or move it out of the run to continue without it.",
        ) from problem
    require_honest_zip(held)
    require_whole_zip(held.file)  # torch does not verify the checksums of the zip.
    held.file.seek(0)
    try:
        state = torch.load(held.file, map_location="cpu", weights_only=True)
    except MemoryError:  # The file is not at fault.
        raise
    except Exception as problem:  # The readers of zip and pickle can raise any exception.
        if "allocate memory" in str(problem):  # torch's own error for a lack of memory.
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
    """Raise Damaged if the checkpoint lacks a field, or if a field has the wrong type or range."""
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
            raise Damaged(f"the weights of {network} hold NaN or infinity, as after training that diverged")


def owes_score(checkpoint: Mapping[str, Any], recipe: Recipe) -> bool:
    """Return whether a score was due at the checkpoint, was interrupted, and is still wanted by the recipe."""
    return bool(checkpoint.get("owes_score") and recipe.score_every)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _trainer_sha256(state: dict[str, Any]) -> str:
    return contents_sha256(state.get(TRAINER, state.get(FORMER_TRAINER)))


def _instead_of(damaged: Path) -> str:
    """Return the remedy for a damaged checkpoint.

    Only the user deletes it, because it may be evidence of a failing disk.
    """
    for path in checkpoint_files(damaged.parent.parent):
        if path < damaged:
            try:
                read_checkpoint(path)
            except (Damaged, InputError):
                continue
            return f"Delete it to continue from the previous checkpoint, {path.name}, which is whole."
    return "Delete all checkpoints of the run to train from the start: no earlier one is whole."


def _can_go_on(state: dict[str, Any]) -> bool:
    schema = state.get("schema")
    return schema in (3, CHECKPOINT_SCHEMA) or (schema == 2 and not state.get("recipe", {}).get("features"))
