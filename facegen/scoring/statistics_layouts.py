"""The file layouts in which programs store statistics and features.

A layout is recognised by the content of the file, not by its name. Nothing is unpickled, because a pickle can run code.
"""

from __future__ import annotations

import codecs
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from facegen.data.decode import suffixes
from facegen.data.litter import is_litter
from facegen.data.npy import read_npy_header
from facegen.errors import InputError
from facegen.extractors.custom import MOST_DIMS
from facegen.file_kinds import (
    BZIP2,
    GZIP,
    HDF5,
    HEAD,
    LEGACY_PYTORCH,
    NPY,
    NPZ,
    PARQUET,
    PICKLE,
    PYTORCH,
    TAR,
    TORCHSCRIPT,
    XZ,
    ZIP,
    kind_of,
    kind_of_file,
)
from facegen.held_file import HeldFile
from facegen.plain_zip import PlainZip
from facegen.scoring.npz_arrays import NpzArrays, no_npz, read_at_most
from facegen.scoring.statistics_file import Arrays, StatisticsFile
from facegen.weights.state_dicts import is_plain, is_whole, require_honest_zip

#: Names of mean and covariance: those of pytorch-fid, TTUR, ADM, EDM, clean-fid and torch-fidelity, and others.
_PAIRS = (("mu", "sigma"), ("mean", "cov"), ("mean", "covar"), ("m", "s"))
#: Names of features: that of score_sde, and others.
_FEATURES = ("pool_3", "features", "act", "acts", "activations")
#: A file whose content is not recognised counts as statistics under these suffixes, so that an error says what is
#: wrong.
_SUFFIXES = frozenset({".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle"})
#: Kinds of files that hold images, whatever their names.
_CONTAINERS = (TAR, GZIP, BZIP2, XZ, PARQUET, HDF5)
#: An .npz and the output of torch.save are zips. Their first bytes alone may not tell them apart from other zips.
_ZIPS = (ZIP, NPZ, PYTORCH)
#: The name of one of two arrays or ``.npy`` files that belong together: ``mu``, ``act_mu``, ``celeba_mean``,
#: ``sigma-train``, ``MU``.
_TWIN = re.compile(
    r"(?P<before>.+[-_.])?((?P<mean>mus?|means?|m)|(?P<covariance>sigmas?|covariance|covar|cov|s))(?P<after>[-_.].+)?",
    re.IGNORECASE,
)
#: Tolerance for symmetry, as a fraction of the largest entry. Features of D images in D dims are a square matrix too,
#: but not a symmetric one.
_SYMMETRIC = 1e-3
#: Maximum size in bytes of a covariance (of long doubles) and of features.
_MOST_COVARIANCE, _MOST_FEATURES = 16 * MOST_DIMS**2, 1 << 36
_SAVE = "numpy.savez('stats.npz', mu=mu, sigma=sigma)"


def holds_statistics(path: Path) -> bool:
    """Return whether ``path`` holds statistics or features, and not images.

    The content decides, and only headers are read. A folder holds statistics if it has mean and covariance as
    two ``.npy`` files and no images. A file that is neither statistics nor images counts as statistics if its suffix
    is one of theirs. Opening it then says what is wrong with it.
    """
    if path.is_dir():
        return _pair_in(path) is not None
    named = path.suffix.lower() in _SUFFIXES
    try:
        held = HeldFile(path)
        head = held.file.read(HEAD)
        kind = kind_of(head)
        if kind is NPY:
            held.file.seek(0)
            return len(read_npy_header(held.file).shape) < 3
        if kind not in _ZIPS:
            return kind in (PICKLE, LEGACY_PYTORCH) or (named and kind not in _CONTAINERS)
        if _begins_with_an_image(head):  # listing 200,000 names takes seconds
            return False
        with PlainZip(held.file) as archive:
            names = [name for name in archive.namelist() if not is_litter(name)]
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return named
    if _is_torch(names):
        return True
    if not names or any(not name.endswith(".npy") for name in names):
        return named and not names
    try:
        arrays = NpzArrays(held)
        if _twins(arrays):
            return True
        return all(len(arrays.shape(name)[0]) < 3 for name in arrays)
    except InputError:
        return True


def open_statistics(path: Path) -> StatisticsFile:
    """Open the statistics or features at ``path``.

    From an ``.npz``, nothing else is read.

    Raises:
        InputError: There is nothing at ``path``, or it holds neither. A pickle is refused, because it can run code.
    """
    if path.is_dir():
        pair = _pair_in(path)
        if pair is None:
            raise InputError(
                f"The folder {path} has no mean and covariance.", "Put them there as mu.npy and sigma.npy."
            )
        return _from_pair(path, *pair)
    if not path.is_file():
        is_other = path.exists()
        raise InputError(
            f"{path} {'is not a file of statistics but a pipe or a device' if is_other else 'is not there'}."
        )
    try:
        held = HeldFile(path)
        kind = kind_of(held.file.read(HEAD))
        names = []
        if kind in _ZIPS:
            with PlainZip(held.file) as archive:
                names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as problem:
        raise no_npz(path, problem) from problem
    if kind is NPY:
        return _from_npy(path, held)
    if kind is LEGACY_PYTORCH or _is_torch(names):
        return _from_torch(path, held)
    if kind is PICKLE:
        raise _pickled(path, "is a Python pickle")
    if kind not in _ZIPS:
        what = "not a zip archive" if kind is None else kind.name
        raise InputError(
            f"{path} is not an .npz file of plain arrays: it is {what}.", None if kind is None else kind.remedy
        )
    return _from_arrays(path, held, NpzArrays(held))


def refuse_statistics(path: Path, what: str) -> None:
    """Raise InputError if ``path`` holds statistics, but ``what`` needs images."""
    if holds_statistics(path):
        raise InputError(f"{path} holds statistics, and {what} needs the images.", "Name the images instead.")


def _from_arrays(path: Path, held: HeldFile, arrays: Arrays) -> StatisticsFile:
    pairs = _twins(arrays)
    if len(pairs) == 1:
        # Which of the two is the mean is decided later, because they may be swapped.
        mu, sigma = (read_at_most(arrays, name, _MOST_COVARIANCE) for name in pairs[0])
        return StatisticsFile(path, (held,), pairs[0], arrays, mu, sigma, has_more=_has_more(arrays))
    listed = ", ".join(f"{name} {dtype} {list(shape)}" for name, (shape, dtype) in _shapes(arrays).items())
    if pairs:
        raise InputError(
            f"{path} holds several pairs of mean and covariance: {listed}.", "Save the pair you mean as mu and sigma."
        )
    rows = _rows_in(arrays)
    if rows is not None:
        return StatisticsFile(path, (held,), _PAIRS[0], arrays, rows=rows, has_more=_has_more(arrays))
    names = next((pair for pair in _PAIRS if pair[0] in arrays or pair[1] in arrays), _PAIRS[0])
    raise InputError(
        f"{path} lacks {' and '.join(sorted(name for name in names if name not in arrays))}"
        f"{f': it holds {listed}' if listed else ''}.",
        "Use an .npz file with mu and sigma, as 'pytorch-fid --save-stats' and 'facegen fid --save-stats' write it.",
    )


def _twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of mean and covariance among names.

    This is the one pair of known names, or all pairs that differ only in the word for mean or covariance.
    """
    names = tuple(names)
    for pair in _PAIRS:
        if pair[0] in names and pair[1] in names:
            return [pair]
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for name in names:
        if (twin := _TWIN.fullmatch(name)) is not None:
            rest = (twin["before"] or "").lower(), (twin["after"] or "").lower()
            found.setdefault(rest, ([], []))[0 if twin["mean"] else 1].append(name)
    return [(means[0], covariances[0]) for means, covariances in found.values() if len(means) == len(covariances) == 1]


def _shapes(arrays: Arrays) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return the shape and dtype of each array; for an ``.npz``, from the headers alone."""
    if isinstance(arrays, NpzArrays):
        return {name: arrays.shape(name) for name in arrays}
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _has_more(arrays: Arrays) -> bool:
    """Return whether there are arrays that are neither vectors nor matrices, such as images."""
    return isinstance(arrays, NpzArrays) and any(len(arrays.shape(name)[0]) > 2 for name in arrays)


def _rows_in(arrays: Arrays) -> npt.NDArray[Any] | None:
    """Return the features among arrays that have no mean and covariance.

    They are recognised by their name, or because they are the only matrix of floats.
    """
    if any(name in arrays for pair in _PAIRS for name in pair):
        return None
    shapes = _shapes(arrays)
    found = [name for name in _FEATURES if name in arrays] or list(arrays)
    matrices = [name for name in found if len(shapes[name][0]) == 2 and shapes[name][1].kind == "f"]
    if len(matrices) != 1:
        return None
    rows = read_at_most(arrays, matrices[0], _MOST_FEATURES)
    return None if _may_be_a_covariance(rows) else rows


def _may_be_a_covariance(matrix: npt.NDArray[Any]) -> bool:
    """Return whether a matrix is square and symmetric up to rounding. Features are not."""
    if len(matrix) != matrix.shape[1] or not 2 <= len(matrix) <= MOST_DIMS:
        return False
    return bool(np.abs(matrix - matrix.T).max() <= _SYMMETRIC * np.abs(matrix).max())


def _from_npy(path: Path, held: HeldFile) -> StatisticsFile:
    """Open one file of a pair, whose twin is beside it, or a file of features."""
    beside = {file.stem: file for file in path.parent.glob(f"*{path.suffix}") if file.is_file()}
    for first, second in _twins_with(path.stem, beside):
        return _from_pair(path, beside[first], beside[second])
    array = _read_npy(held)
    square = array.ndim == 2 and _may_be_a_covariance(array)
    if array.ndim < 2 or 1 in array.shape or square:
        what, other = ("a covariance", "mean") if square and array.size > 1 else ("a mean", "covariance")
        raise InputError(
            f"{path} holds {list(array.shape)}, {what} without its {other}.",
            "Name the two files so that they go together: mu.npy and sigma.npy, or mean.npy and cov.npy.",
        )
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} holds {array.dtype} {list(array.shape)}, neither features nor images.",
            "Features are floating-point numbers [N, D]; images are uint8 [N, H, W, 3].",
        )
    return StatisticsFile(path, (held,), _PAIRS[0], {}, rows=array)


def _from_pair(path: Path, mean: Path, covariance: Path) -> StatisticsFile:
    try:
        held = HeldFile(mean), HeldFile(covariance)
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    mu, sigma = map(_read_npy, held)
    return StatisticsFile(path, held, (mean.stem, covariance.stem), {}, mu, sigma)


def _twins_with(stem: str, stems: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pair among ``stems`` to which ``stem`` belongs."""
    known = [pair for pair in _PAIRS if set(pair) <= set(stems)]
    of_known = [pair for pair in known if stem in pair]
    others = set(stems).difference(*known)
    return of_known or [pair for pair in _twins(sorted(others)) if stem in pair]


def _pair_in(folder: Path) -> tuple[Path, Path] | None:
    """Return a folder's mean and covariance, or None if there is an image or a second pair beside them."""
    files = {entry.stem: entry for entry in folder.iterdir() if entry.suffix.lower() == ".npy" and entry.is_file()}
    pairs = _twins(files)
    if len(pairs) != 1 or any(entry.suffix.lower() in suffixes() for entry in folder.iterdir()):
        return None
    return files[pairs[0][0]], files[pairs[0][1]]


def _read_npy(held: HeldFile) -> npt.NDArray[Any]:
    """Return the array, memory-mapped, so that only the parts in use are read."""
    path = held.path
    try:
        held.file.seek(0)
        header = read_npy_header(held.file)
        if header.dtype.hasobject:
            raise _pickled(path, "holds a pickled Python object")
        order: Literal["C", "F"] = "F" if header.fortran else "C"
        array = np.memmap(held.file, header.dtype, "r", header.length, header.shape, order)
        beyond = held.size - header.length - array.nbytes
    except (OSError, ValueError, EOFError, OverflowError) as problem:
        raise InputError(f"{path} is not a whole .npy file: {str(problem).rstrip('.')}.") from problem
    if beyond:  # NumPy would read the first of several arrays without a word
        raise InputError(
            f"{path} goes on for {beyond:,} bytes after its array {array.dtype} {list(array.shape)}: several "
            "arrays may have been saved to it.",
            "Save each to a file of its own, or as one: numpy.concatenate(arrays).",
        )
    return np.asarray(array)


def _from_torch(path: Path, held: HeldFile) -> StatisticsFile:
    """Open the output of ``torch.save``: mu and sigma, as torch-fidelity stores them, or features [N, D]."""
    import torch

    if kind_of_file(path) is TORCHSCRIPT:
        raise InputError(
            f"{path} is a TorchScript module, not statistics.",
            f"Run it over the images, and store the mean and covariance of its features: {_SAVE}.",
        )
    # torch-fidelity stores NumPy arrays. They are plain numbers too, and torch loads them if their types are named.
    try:
        require_honest_zip(held)
        with torch.serialization.safe_globals(_plain_types()):
            # Pass the open file: with a path, torch looks at the name too.
            found = torch.load(held.file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as problem:  # torch raises many kinds of exceptions for damaged files
        if type(problem).__name__ == "UnpicklingError":  # torch refused to load an object
            raise _pickled(path, "holds pickled Python objects") from problem
        raise InputError(
            f"{path} is not a whole PyTorch file ({path.stat().st_size:,} bytes).", "Download or copy it again."
        ) from problem
    items = found.items() if isinstance(found, dict) else [("", found)]
    arrays = {str(name): array for name, value in items if (array := _as_array(value)) is not None}
    return _from_arrays(path, held, arrays)


def _plain_types() -> list[Any]:
    """Return the types and functions that a pickle of a NumPy array names. They hold numbers and run nothing."""
    makers: list[Any] = [np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")  # before NumPy 2, and since
    named = [(maker, f"{module}.{maker.__name__}") for maker in makers for module in modules]
    return [np.ndarray, np.dtype, codecs.encode, *named, *{type(np.dtype(code)) for code in "?bhilqBHILQefdgU"}]


def _as_array(value: Any) -> npt.NDArray[Any] | None:
    """Return a tensor, array, number or text as an array; None for anything else."""
    from torch import Tensor

    if isinstance(value, Tensor):
        if not is_plain(value) or not is_whole(value):
            return None
        value = value.detach().resolve_conj().resolve_neg()
        # NumPy has no bfloat16.
        return np.asarray((value.float() if value.is_floating_point() and value.element_size() < 4 else value).numpy())
    if isinstance(value, np.ndarray):
        return None if value.dtype.hasobject else value
    return np.asarray(value) if isinstance(value, (int, float, str, np.generic)) else None


def _is_torch(names: Iterable[str]) -> bool:
    """Return whether a zip with these members is the output of ``torch.save``."""
    return any(name.rpartition("/")[2] == "data.pkl" for name in names)


def _begins_with_an_image(head: bytes) -> bool:
    """Return whether the first member of a zip with this head is an image or a folder, by its name."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    return name.endswith("/") or Path(name).suffix.lower() in suffixes()


def _pickled(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} {what}, which facegen does not load, because it can run code.",
        "If you trust its source, load it with the program that wrote it (for StyleGAN: mu, sigma = "
        f"FeatureStats.load(FILE).get_mean_cov()), and store the numbers: {_SAVE}.",
    )
