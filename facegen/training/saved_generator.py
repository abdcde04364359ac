"""The files of averaged generators that a run leaves, to sample from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.errors import InputError, in_words
from facegen.file_kinds import SAFETENSORS, FileKind, kind_of_file
from facegen.files import OTHER_CONTENTS, Damaged
from facegen.gan.generators import require_images
from facegen.training.checkpoint import CHECKPOINTS
from facegen.training.hyperparameter import MOST_KIMG
from facegen.training.networks import generator_of_recipe
from facegen.training.recipe import Recipe, recipe_from_dict
from facegen.weights.content import read_safetensors, write_safetensors

#: The schema of ``*.safetensors``. It grows when this version would misread an older file. Schema 1 has the weights
#: under the network's names. The metadata has ``recipe`` (JSON), ``size``, ``dataset_sha256`` and ``kimg``, and where
#: they apply ``trained_against`` and ``score`` (JSON).
#:
#: A file also holds a hash of its contents, which is compared on reading. A file from before there was a hash is read
#: without the comparison. The recipe in a file may use former field names: see :mod:`facegen.training.former_recipes`.
GENERATOR_SCHEMA = 1
BEST, LAST = "best.safetensors", "last.safetensors"
#: Maximum side of a generator's images, in pixels. Larger ones would exhaust the memory.
MOST_SIZE = 2048


def is_last(run: Path, images_seen: int) -> bool:
    """Return whether the run's last generator exists, is whole, and belongs to ``images_seen`` images.

    The generator is written after the checkpoint. If the process was killed in between, the file is that of the
    previous checkpoint.
    """
    try:
        _, metadata = read_safetensors(run / LAST)
    except (Damaged, OSError):
        return False
    return metadata.get("kimg") == _kimg(images_seen)


def _kimg(images_seen: int) -> str:
    return f"{images_seen / 1000:g}"


def save_generator(
    path: Path, ema: nn.Module, recipe: Recipe, *, size: int, dataset: str, images_seen: int, score: str | None
) -> None:
    """Write the averaged generator as safetensors, with everything needed to build it again in the metadata.

    Args:
        path: The file to write.
        ema: The averaged generator.
        recipe: The recipe it was trained with.
        size: Side of its images, in pixels.
        dataset: Content sha256 of the dataset it was trained on.
        images_seen: Number of real images shown in training.
        score: The score that made it the best, as JSON; None if there is none.
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
    """Return the error for a file that is of another kind."""
    if path.match(f"{CHECKPOINTS}/*.pt"):
        return InputError(
            f"{path} is a checkpoint for resuming training, not a generator.",
            f"Name its run folder, or the generator in it: {path.parent.parent / LAST}",
        )
    wanted = "Name a run folder, or a .safetensors file that facegen train wrote."
    # A failed download has its own remedy. Remedies about images do not apply here.
    remedy = kind.remedy if kind.family == "other" and kind.remedy and "image" not in kind.remedy else wanted
    return InputError(f"{path} is {kind.name}, not a generator of facegen.", remedy)


@dataclass(frozen=True)
class SavedGenerator:
    """A generator read from a file: the network in eval mode on the CPU, and the contents of the metadata.

    The network raises :class:`facegen.gan.generators.NoImages` if its output is not images, for example because it
    holds NaN. ``trained_against`` names the frozen network in whose features the generator was trained; None without
    one.
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
        InputError: The file is absent, damaged or not facegen's; its architecture is not registered here; its tensors
            do not fit its recipe; or its weights are not finite.
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
        how = f": {problem}" if str(problem) == OTHER_CONTENTS else f" or is not a safetensors file: {problem}"
        raise InputError(f"The generator {path} is damaged{how}.", _another_generator(path)) from problem
    try:
        return build_saved_generator(tensors, metadata, str(path))
    except Damaged as problem:
        raise InputError(
            f"The generator {path} does not fit its own recipe: {problem}.", _another_generator(path)
        ) from problem


def build_saved_generator(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> SavedGenerator:
    """Build the generator from the contents of a file that :func:`save_generator` wrote.

    Args:
        tensors: The weights, by name.
        metadata: The metadata of the file.
        source: What an error message calls the file.

    Raises:
        InputError: The architecture is not registered here, or a weight is not finite.
        Damaged: No run wrote such metadata, or the tensors do not fit the recipe.
    """
    recipe, size = recipe_and_size(metadata, source)
    try:
        kimg, dataset = float(metadata["kimg"]), metadata["dataset_sha256"]
        # Older files lack the key. Their recipe tells.
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
    """Return the recipe of a generator, and the side of its images in pixels, from its metadata.

    Raises:
        InputError: This is not a generator of this version of facegen, or its recipe has a value that is not allowed
            here.
        Damaged: No run wrote such metadata.
    """
    if metadata.get("format") != "facegen-generator" or metadata.get("schema") != str(GENERATOR_SCHEMA):
        raise InputError(
            f"{source} holds no generator of this version of facegen.", "Use a file that facegen train wrote."
        )
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
    """Raise InputError if a weight is NaN or infinite, because every image would be black."""
    for name, tensor in tensors.items():
        if not tensor.float().isfinite().all():
            raise InputError(
                f"The generator {source} draws nothing: its weights {name} hold NaN or infinity.",
                "Its training diverged. Use an earlier generator, or train again with a lower learning rate.",
            )


def _require_sensible(size: int, kimg: float, trained_against: str | None) -> None:
    """Raise ValueError if the metadata have a value that no run of facegen writes."""
    if not 1 <= size <= MOST_SIZE:
        raise ValueError(f"the side of its images must be from 1 to {MOST_SIZE:,} pixels, not {size:,}")
    if not 0 <= kimg <= MOST_KIMG:
        raise ValueError(f"its kimg must be from 0 to {MOST_KIMG:,}, not {kimg:g}")
    if trained_against is not None and not re.fullmatch(r"[\w.:+-]{1,100}", trained_against, re.ASCII):
        raise ValueError(f"the network that it was trained against cannot be named {trained_against[:40]!r}")


def _require_same_shapes(recipe: Recipe, size: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError if the file has other tensors than the recipe's network.

    This check takes no memory for weights.
    """
    with torch.device("meta"):  # Tensors on this device have a shape but no values.
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
    """Return the remedy for a damaged generator."""
    for path in (damaged.with_name(LAST), damaged.with_name(BEST)):
        if path != damaged and path.is_file():
            try:
                read_safetensors(path)
            except (Damaged, OSError):
                continue
            return f"Name another generator of the same run, which is whole: {path}"
    return "Copy it again from its source, or train its run a little longer, which writes the file again."
