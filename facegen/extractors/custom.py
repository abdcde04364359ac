"""Custom extractors: ``--extractor package.module:callable`` names a function of the user's that computes features."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facegen.errors import InputError
from facegen.files import sha256_file

Images = npt.NDArray[np.uint8]

_SHAPE = "It takes images, uint8 [N, H, W, 3], and returns features, float [N, D]."
#: Folders of code that is not the user's own: the standard library and installed packages.
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))
#: Maximum number of features. A score keeps a few float64 matrices [D, D], and each takes 2 GB at this size.
MOST_DIMS = 16_384
#: The image of the first call, which finds out D. Most faces here are 64×64.
_PROBE = (1, 64, 64, 3)
#: The sha256 of each user module before it was imported. The code that runs is that of this file, even if it changes.
_imported: dict[Path, str] = {}


@dataclass(frozen=True)
class ImageFunction:
    """A user's function of images whose results are checked.

    Attributes:
        name: ``"package.module:callable"``.
        function: Maps images of one size, uint8 [N, H, W, 3], to finite floats [N, D]. D must be the same for every
            size.
        sha256: The sha256 of the source that defines the function.
        dims: D.
    """

    name: str
    function: Callable[[Images], Any]
    sha256: str
    dims: int

    def __call__(self, images: Sequence[Images]) -> npt.NDArray[np.float32]:
        """Compute features [n, dims] of n images, each uint8 [H, W, 3]. Images of equal size are passed together.

        Raises:
            InputError: The function raised an exception, or returned something other than finite features of these
                dims.
        """
        features = np.empty((len(images), self.dims), np.float32)
        for shape in dict.fromkeys(image.shape for image in images):
            rows = [row for row, image in enumerate(images) if image.shape == shape]
            features[rows] = _call(self.name, self.function, np.stack([images[row] for row in rows]), self.dims)
        return features


def open_function(name: str) -> ImageFunction:
    """Import the function ``package.module:callable`` and try it on one black image of 64×64.

    The working folder is searched first, as ``python -m`` does.

    Raises:
        InputError: There is no such module or callable, it does not turn images into features, or its file changed
            since it was imported.
    """
    module_name, _, path = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise InputError(f"The extractor {name!r} does not have the form package.module:callable.", _SHAPE)
    folder = str(Path.cwd())
    if "" not in sys.path and folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            _note_source(module_name)
            module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # the user's module can raise anything
        missing = problem.name if isinstance(problem, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            remedy = "It is looked for in the working folder and among the installed packages."
            if module_name.endswith(".py"):
                remedy = f"Leave out .py: {module_name.removesuffix('.py')}:{path}."
            raise InputError(f"There is no module {missing} for the extractor {name}.", remedy) from problem
        raise InputError(
            f"The module {module_name} of the extractor {name} cannot be imported: {_told(problem)}."
        ) from problem
    function: Any = module
    for part in path.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise InputError(
            f"The module {module_name} has no callable {path!r}.", f"--extractor {module_name}:NAME. {_SHAPE}"
        )
    dims = _call(name, function, np.zeros(_PROBE, np.uint8), None).shape[1]
    if dims > MOST_DIMS:
        raise InputError(
            f"The extractor {name} returns {dims:,} features per image.",
            f"Return at most {MOST_DIMS:,}: the memory of a Fréchet distance grows with their square.",
        )
    return ImageFunction(name, function, _source_sha256(module, function, name), dims)


def _call(name: str, function: Callable[[Images], Any], images: Images, dims: int | None) -> npt.NDArray[np.float32]:
    """Call the function on images of one size and check the result."""
    given = f"images {list(images.shape)}"
    try:
        with redirect_stdout(sys.stderr), torch.no_grad():  # stdout is for results; no gradients are needed
            answer = function(images)
            features = np.asarray(answer)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        raise InputError(f"The extractor {name} fails on {given}: {_told(problem)}.", _SHAPE) from problem
    if features.dtype.kind != "f":
        kind = type(answer).__name__ if features.dtype == object else features.dtype
        raise InputError(f"The extractor {name} returns {kind} for {given}, not floating-point numbers.", _SHAPE)
    if features.ndim != 2 or len(features) != len(images) or not features.shape[1]:
        raise InputError(f"The extractor {name} returns {list(features.shape)} for {given}.", _SHAPE)
    if dims is not None and features.shape[1] != dims:
        raise InputError(
            f"The extractor {name} returns {features.shape[1]} features for {given} and {dims} for others.",
            "Distances need the same number for every image.",
        )
    with np.errstate(over="ignore"):  # values outside of float32's range become infinity
        features = features.astype(np.float32, copy=False)
    if not np.isfinite(features).all():
        raise InputError(f"The extractor {name} returns NaN or infinity, as float32, for {given}.", _SHAPE)
    return features


def _told(problem: BaseException) -> str:
    """Describe an exception on one line, with its place in the user's code, not in a library that this code calls."""
    text = " ".join(f"{type(problem).__name__}: {problem}".split()).rstrip(": .")
    if isinstance(problem, SyntaxError):  # no frame belongs to the faulty file, but the text names it
        return text
    frames = traceback.extract_tb(problem.__traceback__)
    places = [frame for frame in frames if frame.filename != __file__ and not frame.filename.startswith("<frozen ")]
    if not places:
        return text
    place = [frame for frame in places if not frame.filename.startswith(_LIBRARIES)] or places
    return f"{text} ({place[-1].filename}, line {place[-1].lineno})"


def _note_source(module_name: str) -> None:
    """Record the sha256 of a module's file before it is imported."""
    if module_name in sys.modules:
        return
    spec = importlib.util.find_spec(module_name)
    if spec is not None and spec.origin is not None and spec.has_location:
        _imported[Path(spec.origin)] = sha256_file(Path(spec.origin))


def _source_sha256(module: Any, function: Any, name: str) -> str:
    """Return the sha256 of the named module's file, combined with that of the file that defines the callable."""
    while isinstance(function, functools.partial):
        function = function.func
    files = {Path(file) for file in (getattr(module, "__file__", None), _source_file(function)) if file is not None}
    if not files:
        raise InputError(f"The extractor {name} has no file, so its versions cannot be told apart.")
    contents = [sha256_file(file) for file in sorted(files)]
    for file, sha256 in zip(sorted(files), contents, strict=True):
        if _imported.setdefault(file, sha256) != sha256:
            raise InputError(
                f"{file} changed since the extractor {name} was imported from it.",
                "Start again. Otherwise old features would be stored under the hash of the new file.",
            )
    return contents[0] if len(contents) == 1 else hashlib.sha256("".join(contents).encode()).hexdigest()


def _source_file(function: Any) -> str | None:
    for candidate in (inspect.unwrap(function), type(function)):
        try:
            return inspect.getsourcefile(candidate)
        except TypeError:  # an object without source, or a built-in
            continue
    return None
