"""Submissions that are generators: their images are drawn here, so that a student cannot pick them.

The file comes from a stranger. It is a ``.safetensors`` file written by ``facegen train``, never a pickle, and only
facegen's own networks are built from it. Its claims are compared with its bytes and with the caps of
:class:`facegen.submission.rules.Limits` before anything of the claimed size is built. Work is capped by multiply-adds,
which are counted from the recipe. The verdict therefore depends on the bytes alone, however busy the machine is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen.cnn.inspect import layer_table
from facegen.cnn.registry import OWN
from facegen.code_hash import code_hash
from facegen.data.origin import Origin
from facegen.device import placed
from facegen.errors import InputError
from facegen.file_kinds import HEAD, SAFETENSORS, kind_of
from facegen.files import Damaged
from facegen.gan.generators import NoImages, draw_images
from facegen.gan.latents import normal_latents
from facegen.pretrained import GENERATOR, generator_path, require_whole
from facegen.printable import printable, shortened
from facegen.submission.open_tarball import OpenTarball
from facegen.submission.reader import Submission
from facegen.submission.rules import Code, Limits, Rejection, megabytes, shown
from facegen.training.hyperparameter import LARGEST_INTEGER
from facegen.training.networks import generator_of_recipe
from facegen.training.recipe import Recipe
from facegen.training.saved_generator import SavedGenerator, build_saved_generator, load_generator, recipe_and_size
from facegen.weights.content import parse_safetensors

#: The metadata key of the seed with which a generator's images are drawn. The seed is 0 if the key is missing.
SEED = "seed"
#: Data types in which a generator's numbers may be stored.
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64)
_CHUNK = 1 << 20
#: A stand-in for the discriminator of a recipe. It does not change the images, and a student's own one is unknown here.
_ANY_DISCRIMINATOR = "dcgan_discriminator"
#: Maximum number of characters of a message, because the message quotes the file.
_LONGEST = 300


@dataclass(frozen=True)
class GeneratorReader:
    """The reader of generators. It draws their images.

    Attributes:
        seed: The course's seed for all generators; None to use the seed in each file.
        device: The device that draws. Another device rounds differently, which changes single pixel values.
    """

    seed: int | None
    device: torch.device

    @property
    def key(self) -> str:
        """A text of everything besides the bytes that decides a submission's images, except rounding."""
        shipped = hashlib.sha256(require_whole(GENERATOR)).hexdigest()
        return json.dumps([code_hash(__name__), self.seed, shipped])

    def __call__(self, file: OpenTarball, student_number: str, limits: Limits) -> Submission:
        """Read an open file from its start, and draw ``limits.count`` images as ``facegen sample`` does.

        Raises:
            Rejection: The file breaks a rule. This is the only exception that the bytes of a file can raise.
            UnreadableTarball: The file cannot be read, or changes while it is read.
            OSError, MemoryError, RuntimeError: The machine lacks something, whatever the file is.
        """
        try:
            saved, own_seed = _read(file, limits)
            seed = self.seed if self.seed is not None else own_seed or 0
            images = _draw(saved, seed, limits, self.device)
        except Rejection:
            file.require_unchanged()  # do not reject a file that is still being written
            raise
        file.require_unchanged()
        digits = max(4, len(str(limits.count)))
        return Submission(
            student_number,
            images,
            tuple(f"{number:0{digits}d}.png" for number in range(1, limits.count + 1)),
            (self._note(own_seed),),
            Origin(trained_against=saved.trained_against),
            likeness_to_shipped(saved.network),
        )

    def _note(self, own: int | None) -> str:
        if self.seed is None:
            return (
                f"Drawn here with seed {own}." if own is not None else "Drawn here with seed 0: the file names no seed."
            )
        unused = f"; its own seed, {own}, was not used" if own not in (None, self.seed) else ""
        return f"Drawn here with the course's seed {self.seed}{unused}."


def likeness_to_shipped(network: nn.Module) -> float | None:
    """Return the similarity of a generator's weights to those of the generator that ships with facegen.

    The similarity is the mean of the cosines between corresponding weight tensors, weighted by their sizes.
    The scale of a layer therefore does not count; a following norm would undo it anyway. The same generator has
    1. Networks that start from another seed have about 0.

    Returns:
        A number from −1 to 1, rounded to four digits; None if the shapes differ.
    """
    ours, theirs = shipped_weights(), _weights(network)
    if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
        return None
    pairs = zip((tensor.cpu().double().flatten() for tensor in theirs), ours, strict=True)
    cosines = [torch.cosine_similarity(a, b.double().flatten(), dim=0) for a, b in pairs]
    return round(float(np.average(np.array(cosines, dtype=float), weights=[tensor.numel() for tensor in ours])), 4)


@cache
def shipped_weights() -> tuple[Tensor, ...]:
    """Return the weights of the shipped generator, from the layers that mix their inputs."""
    return _weights(load_generator(generator_path()).network)


def _weights(network: nn.Module) -> tuple[Tensor, ...]:
    return tuple(parameter.detach() for parameter in network.parameters() if parameter.ndim > 1)


def _read(file: OpenTarball, limits: Limits) -> tuple[SavedGenerator, int | None]:
    """Return the generator in a file, and the seed that the file names."""
    data = b"".join(iter(lambda: file.read(_CHUNK), b""))
    kind = kind_of(data[:HEAD])
    if kind is not SAFETENSORS:
        what = "not a safetensors file" if kind is None else kind.name
        raise Rejection(Code.NOT_GENERATOR, f"The file is {what}.", limits)
    header = int.from_bytes(data[:8], "little")
    if header > limits.generator_header_bytes:
        message = f"The file's header claims {header:,} bytes, above {megabytes(limits.generator_header_bytes)}."
        raise Rejection(Code.NOT_GENERATOR, message, limits)
    try:
        tensors, metadata = parse_safetensors(data)
    except Damaged as problem:
        message = f"The file is not a complete safetensors file: {problem}."
        raise Rejection(Code.DAMAGED, _message(message), limits) from problem
    del data  # it is as large as the tensors
    return _build(tensors, _with_known_parts(metadata, limits), limits), _seed(metadata, limits)


def _with_known_parts(metadata: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """Return the metadata with a discriminator that is known here.

    Raises:
        Rejection: The generator is not one of facegen's own.
    """
    try:
        recipe = json.loads(metadata.get("recipe", "null"))
    except (ValueError, RecursionError):
        return dict(metadata)  # recipe_and_size rejects it later, with a message
    if not isinstance(recipe, dict):
        return dict(metadata)
    name = recipe.get("generator")
    if isinstance(name, str) and name not in OWN:
        raise Rejection(Code.UNKNOWN_ARCHITECTURE, f"The generator's architecture is {shown(name)}.", limits)
    if isinstance(recipe.get("discriminator"), str) and recipe["discriminator"] not in OWN:
        recipe["discriminator"] = _ANY_DISCRIMINATOR
    return {**metadata, "recipe": json.dumps(recipe)}


def _build(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], limits: Limits) -> SavedGenerator:
    try:
        recipe, size = recipe_and_size(metadata, "the file")
    except InputError as problem:
        raise Rejection(Code.NOT_GENERATOR, _message(problem.message), limits) from problem
    except Damaged as problem:
        message = f"facegen does not write such metadata: {problem}."
        raise Rejection(Code.NOT_GENERATOR, _message(message), limits) from problem
    if size != limits.size:
        message = f"The generator draws images of {size:,}x{size:,} pixels, not {limits.resolution}."
        raise Rejection(Code.WRONG_SIZE, _message(message), limits)
    _require_little_work(recipe, limits)
    other = next((name for name, tensor in tensors.items() if tensor.dtype not in _DTYPES), None)
    if other is not None:
        raise Rejection(Code.WRONG_WEIGHTS, f"{shown(other)} is stored as {tensors[other].dtype}.", limits)
    try:
        return build_saved_generator(tensors, metadata, "the file")
    except InputError as problem:
        raise Rejection(Code.WRONG_WEIGHTS, _message(problem.message), limits) from problem
    except Damaged as problem:
        message = f"The file does not fit its own recipe: {problem}."
        raise Rejection(Code.WRONG_WEIGHTS, _message(message), limits) from problem


def _require_little_work(recipe: Recipe, limits: Limits) -> None:
    """Raise Rejection if an image takes too many multiply-adds. Nothing is computed and no weights take memory."""
    try:
        macs = multiply_adds(recipe, limits.size)
    except (ValueError, RuntimeError) as problem:  # a side that is not a power of two; numbers that exceed memory
        message = f"The generator's network cannot be built: {str(problem).partition(chr(10))[0].rstrip('.')}."
        raise Rejection(Code.GENERATOR_TOO_LARGE, _message(message), limits) from problem
    if macs > limits.macs:
        message = f"An image takes {macs / 1e9:,.2f} billion multiply-adds, above {limits.macs / 1e9:,.2f}."
        raise Rejection(Code.GENERATOR_TOO_LARGE, message, limits)


def multiply_adds(recipe: Recipe, size: int) -> int:
    """Count the multiply-adds that a recipe's generator needs for one image of side ``size``.

    Only convolutions and linear layers count, as in ``facegen inspect``.
    """
    plain = recipe.with_overrides({"chroma_cutoff": 0.0})  # leave out a filter of 441 numbers outside the network
    with torch.device("meta"):
        network = generator_of_recipe(plain, size).eval()
        return sum(row.macs for row in layer_table(network, torch.empty(1, recipe.latent_dim)))


def _seed(metadata: Mapping[str, str], limits: Limits) -> int | None:
    text = metadata.get(SEED)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > LARGEST_INTEGER:
        message = f"The file's seed is {shown(text)}. A seed is a whole number from 0 to {LARGEST_INTEGER:,}."
        raise Rejection(Code.NOT_GENERATOR, message, limits)
    return int(text)


def _draw(saved: SavedGenerator, seed: int, limits: Limits, device: torch.device) -> npt.NDArray[np.uint8]:
    """Draw the images of latents 0, 1, … of ``seed``: uint8 [count, size, size, 3]."""
    latents = normal_latents(seed, 0, limits.count, saved.recipe.latent_dim)
    try:
        return draw_images(placed(saved.network, device), latents)
    except NoImages as problem:
        raise Rejection(Code.DRAWS_NO_IMAGES, problem.message, limits) from problem


def _message(text: str) -> str:
    return shortened(printable(text), _LONGEST)
