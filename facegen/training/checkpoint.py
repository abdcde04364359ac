"""What a run leaves behind: checkpoints to go on from, and averaged generators to sample from."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor, nn

from facegen import console
from facegen.errors import InputError, in_words
from facegen.file_kinds import SAFETENSORS, FileKind, kind_of_file
from facegen.files import OTHER_CONTENTS, Damaged, atomic_path, require_whole_zip
from facegen.gan.generators import require_images
from facegen.held_file import HeldFile
from facegen.printable import printable
from facegen.training.hyperparameter import MOST_KIMG
from facegen.training.networks import FEATURES, PIXELS, generator_of_recipe
from facegen.training.recipe import Recipe, recipe_from_dict
from facegen.weights.content import contents_sha256, read_safetensors, write_safetensors
from facegen.weights.state_dicts import require_honest_zip

#: The versions of the two file formats that a run leaves. A number grows when a file of before would be misread.
#:
#: - ``GENERATOR_SCHEMA``, of ``*.safetensors``. 1: weights by the network's names; in the metadata ``recipe`` (JSON),
#:   ``size``, ``dataset_sha256``, ``kimg``, and where they apply ``trained_against`` and ``score`` (JSON).
#: - ``CHECKPOINT_SCHEMA``, of ``checkpoints/*.pt``. 2: with the state of the augmentation. 3: the critic of features
#:   has other layers; without one, 2 is the same. 4: the trainer's state is under ``trainer``, where 3 had ``game``.
#:
#: Both also hold a hash of their contents, which is compared on reading; a file from before there was one is read as it
#: is. The fields of a recipe in either may have former names: :mod:`facegen.training.former_recipes`.
GENERATOR_SCHEMA = 1
CHECKPOINT_SCHEMA = 4
#: The key of the trainer's state in a checkpoint, and what it was called before schema 4: read, and no longer written.
TRAINER, FORMER_TRAINER = "trainer", "game"
TRAINER_SHA256 = "trainer_sha256"
RECIPE, CHECKPOINTS, SAMPLES = "recipe.toml", "checkpoints", "samples"
#: What is kept of a collapse from which a run was rolled back.
ROLLBACK = "rollback.json"
BEST, LAST = "best.safetensors", "last.safetensors"
#: The largest side of a generator's images: larger ones fill the memory before they fill a screen.
MOST_SIZE = 2048
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


def is_last(run: Path, images_seen: int) -> bool:
    """Whether a run's last generator is there, whole, and of so many images.

    It is written after the checkpoint, so a process that was killed in between left that of the one before.
    """
    try:
        _, metadata = read_safetensors(run / LAST)
    except (Damaged, OSError):
        return False
    return metadata.get("kimg") == _kimg(images_seen)


def _kimg(images_seen: int) -> str:
    return f"{images_seen / 1000:g}"


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


def save_generator(
    path: Path, ema: nn.Module, recipe: Recipe, *, size: int, dataset: str, images_seen: int, score: str | None
) -> None:
    """Write the averaged generator as safetensors, with all that is needed to build it again in the metadata.

    Args:
        dataset: content sha256 of the dataset it was trained on.
        score: the score that made it the best, as JSON.
    """
    metadata = {
        "format": "facegen-generator",
        "schema": str(GENERATOR_SCHEMA),
        "recipe": json.dumps(recipe.to_dict()),
        "size": str(size),
        "dataset_sha256": dataset,
        "kimg": _kimg(images_seen),
    }
    if recipe.trained_against is not None:
        metadata["trained_against"] = recipe.trained_against
    if score is not None:
        metadata["score"] = score
    write_safetensors(path, ema.state_dict(), metadata)


def _no_generator(path: Path, kind: FileKind) -> InputError:
    """What a file is that is no safetensors file."""
    if path.match(f"{CHECKPOINTS}/*.pt"):
        return InputError(
            f"{path} is a checkpoint to go on training from, not a generator.",
            f"Name its run folder, or the generator in it: {path.parent.parent / LAST}",
        )
    wanted = "Name a run folder, or a .safetensors file that facegen train wrote."
    # A download that failed has a remedy of its own; what to do about images has no place here.
    remedy = kind.remedy if kind.family == "other" and kind.remedy and "image" not in kind.remedy else wanted
    return InputError(f"{path} is {kind.name}, not a generator of facegen's.", remedy)


@dataclass(frozen=True)
class SavedGenerator:
    """A generator read from a file: the network in eval mode on the CPU, and what its metadata says.

    The network raises :class:`facegen.gan.generators.NoImages` in place of an output that is no images.

    ``trained_against`` names the frozen network whose features it was trained against; None where there was none.
    """

    network: nn.Module
    recipe: Recipe
    size: int
    dataset_sha256: str
    kimg: float
    trained_against: str | None


def load_generator(path: Path) -> SavedGenerator:
    """Read a generator that :func:`save_generator` wrote.

    Raises:
        InputError: absent, damaged, not facegen's, of an architecture that is not registered here, or its tensors do
            not fit its recipe; weights that are not finite.
    """
    if not path.is_file():
        raise InputError(f"There is no generator {path}.", "Name a run folder or a .safetensors file.")
    try:
        kind = kind_of_file(path)
        if kind is not None and kind is not SAFETENSORS:
            raise _no_generator(path, kind)
        tensors, metadata = read_safetensors(path)
    except OSError as problem:
        raise InputError(f"Cannot read the generator {path}: {problem.strerror or problem}.") from problem
    except Damaged as problem:
        how = f": {problem}" if str(problem) == OTHER_CONTENTS else f" or no safetensors file: {problem}"
        raise InputError(f"The generator {path} is damaged{how}.", _another_generator(path)) from problem
    try:
        return build_saved_generator(tensors, metadata, str(path))
    except Damaged as problem:
        raise InputError(
            f"The generator {path} does not fit its own recipe: {problem}.", _another_generator(path)
        ) from problem


def build_saved_generator(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> SavedGenerator:
    """The generator of a file's contents, which :func:`save_generator` wrote; ``source`` is what an error calls it.

    Raises:
        InputError: as for :func:`load_generator`.
        Damaged: metadata that no run wrote, or tensors that do not fit the recipe.
    """
    recipe, size = recipe_and_size(metadata, source)
    try:
        kimg, dataset = float(metadata["kimg"]), metadata["dataset_sha256"]
        # Of a file from before there was the key, the recipe tells.
        trained_against = metadata.get("trained_against", recipe.trained_against)
        _require_sensible(size, kimg, trained_against)
        _require_same_shapes(recipe, size, tensors)
    except (KeyError, ValueError, RuntimeError) as problem:
        raise Damaged(_first_line(problem)) from problem
    _require_finite(source, tensors)
    network = generator_of_recipe(recipe, size)
    network.load_state_dict(dict(tensors))
    network.register_forward_hook(lambda _network, _latents, images: require_images(images))
    return SavedGenerator(network.eval(), recipe, size, dataset, kimg, trained_against)


def recipe_and_size(metadata: Mapping[str, str], source: str) -> tuple[Recipe, int]:
    """What a generator's metadata say of its network: the recipe, and the side of its images in pixels.

    Raises:
        InputError: it is no generator of this version of facegen's, or its recipe has a value that no recipe has here.
        Damaged: metadata that no run wrote.
    """
    if metadata.get("format") != "facegen-generator" or metadata.get("schema") != str(GENERATOR_SCHEMA):
        raise InputError(f"{source} holds no generator of this version of facegen.", "facegen train writes them.")
    try:
        return recipe_from_dict(json.loads(metadata["recipe"]), f"The recipe in {source}"), int(metadata["size"])
    except InputError as problem:
        raise InputError(f"Cannot build the generator {source}. {problem.message}", problem.remedy) from problem
    except (KeyError, ValueError, RecursionError) as problem:
        raise Damaged(_first_line(problem)) from problem


def _first_line(problem: Exception) -> str:
    text = in_words(problem) if isinstance(problem, (KeyError, RecursionError)) else str(problem)
    return text.partition("\n")[0].rstrip(".")


def _require_finite(source: str, tensors: Mapping[str, Tensor]) -> None:
    """InputError where a weight is NaN or infinite: every image would be black."""
    for name, tensor in tensors.items():
        if not tensor.float().isfinite().all():
            raise InputError(
                f"The generator {source} draws nothing: its weights {name} hold NaN or infinity.",
                "Its training diverged. Take a generator from before that, or train anew at a lower learning rate.",
            )


def _require_sensible(size: int, kimg: float, trained_against: str | None) -> None:
    """ValueError where the metadata say what no run of facegen's wrote."""
    if not 1 <= size <= MOST_SIZE:
        raise ValueError(f"its images have a side from 1 to {MOST_SIZE:,} pixels, not {size:,}")
    if not 0 <= kimg <= MOST_KIMG:
        raise ValueError(f"it saw from 0 to {MOST_KIMG:,} kimg, not {kimg:g}")
    if trained_against is not None and not re.fullmatch(r"[\w.:+-]{1,100}", trained_against, re.ASCII):
        raise ValueError(f"the network that it was trained against has no name like {trained_against[:40]!r}")


def _require_same_shapes(recipe: Recipe, size: int, tensors: Mapping[str, Tensor]) -> None:
    """ValueError where the recipe's network has other tensors than the file: told before it takes any memory."""
    with torch.device("meta"):  # shapes without values
        wanted = generator_of_recipe(recipe, size).state_dict()
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise ValueError(f"{len(missing)} of its {len(wanted)} tensors are missing, the first is {missing[0]}")
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise ValueError(f"it has {len(unknown)} tensors of another network, the first is {unknown[0]}")
    for name, tensor in wanted.items():
        given = tensors[name]
        if given.shape != tensor.shape or given.is_floating_point() != tensor.is_floating_point():
            raise ValueError(
                f"{name} is {given.dtype} {list(given.shape)} and should be {tensor.dtype} {list(tensor.shape)}"
            )


def _another_generator(damaged: Path) -> str:
    """What to do about a damaged generator."""
    for path in (damaged.with_name(LAST), damaged.with_name(BEST)):
        if path != damaged and path.is_file():
            try:
                read_safetensors(path)
            except (Damaged, OSError):
                continue
            return f"Name another one of its run, which is whole: {path}"
    return "Copy it again from where it came from; or train its run a little longer, which writes it anew."
