"""Statistics in files: ``mu`` and ``sigma`` as other programs write them, features, and what facegen adds.

What a file is, its content tells and not its name. Nothing is unpickled: a pickle can run code.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from facegen.data.decode import suffixes
from facegen.data.litter import is_litter
from facegen.data.rgb import LOSSES
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.table import extractor_of, extractors
from facegen.file_kinds import BZIP2, GZIP, HDF5, HEAD, PARQUET, TAR, TORCHSCRIPT, XZ, kind_of, kind_of_file
from facegen.files import atomic_path, sha256_file
from facegen.metrics.colours import COLOURS, Colours
from facegen.metrics.detail import Detail
from facegen.metrics.framing import SIDE, MeanImage
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics, flaw_of
from facegen.scoring.image_checks import ImageProperties

Arrays = Mapping[str, npt.NDArray[Any]]

#: What mean and covariance are called: by pytorch-fid, TTUR, ADM, EDM, clean-fid, torch-fidelity; and by others.
_PAIRS = (("mu", "sigma"), ("mean", "cov"), ("mean", "covar"), ("m", "s"))
#: What features are called: by score_sde; by others.
_FEATURES = ("pool_3", "features", "act", "acts", "activations")
#: What is not told by its content is meant as statistics under these names, for an error that says so.
_SUFFIXES = frozenset({".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle"})
#: What images come in, under whatever name.
_CONTAINERS = (TAR, GZIP, BZIP2, XZ, PARQUET, HDF5)
_ZIP, _NPY = (b"PK\3\4", b"PK\5\6"), b"\x93NUMPY"
_PICKLE = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
#: How ``torch.save`` began before it wrote zips: its magic number, pickled.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: One of two arrays or ``.npy`` files that go together: ``mu``, ``act_mu``, ``celeba_mean``, ``sigma-train``, ``MU``.
_TWIN = re.compile(
    r"(?P<before>.+[-_.])?((?P<mean>mus?|means?|m)|(?P<covariance>sigmas?|covariance|covar|cov|s))(?P<after>[-_.].+)?",
    re.IGNORECASE,
)
#: Features of as many images as dims are a square matrix too, but no symmetric one: so far from it, of its largest.
_SYMMETRIC = 1e-3
_SAVE = "numpy.savez('stats.npz', mu=mu, sigma=sigma)"
#: Features are read in blocks of so many rows.
_BLOCK = 4096


class _Npz(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz``, each read when it is asked for: images beside mu and sigma may be gigabytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._names = tuple(name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy"))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as problem:
            raise _no_npz(path, problem) from problem

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        try:
            with np.load(self._path, allow_pickle=False) as file:
                array: npt.NDArray[Any] = file[name]
                return array
        except Exception as problem:  # zlib, zipfile and NumPy raise whatever they stumble over
            raise _no_npz(self._path, problem) from problem

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """An array's shape and type, by its header alone."""
        try:
            with zipfile.ZipFile(self._path) as file, file.open(f"{name}.npy") as member:
                return _header(member)
        except Exception as problem:
            raise _no_npz(self._path, problem) from problem


@dataclass(frozen=True)
class StatisticsFile:
    """A file, or two, with the mean and covariance of features, or the features themselves.

    Attributes:
        path: as it was named.
        files: what is read: one, or the two ``.npy`` of a pair.
        names: what mean and covariance are called in it.
        arrays: all that is in it, by name; each is read when it is asked for.
        mu, sigma: as they are stored; None where there are features instead.
        rows: the features of each image, [N, D], as they are stored; None where there are mu and sigma.
    """

    path: Path
    files: tuple[Path, ...]
    names: tuple[str, str]
    arrays: Arrays
    mu: npt.NDArray[Any] | None = None
    sigma: npt.NDArray[Any] | None = None
    rows: npt.NDArray[Any] | None = None

    @property
    def dims(self) -> int:
        """How many features an image has."""
        if self.rows is not None:
            return int(self.rows.shape[1])
        assert self.mu is not None and self.sigma is not None
        return int(min(self.mu.size, self.sigma.size))  # which may be swapped

    @property
    def extractor(self) -> str | None:
        """Which extractor made it, as :attr:`facegen.scoring.score.Score.extractor`; None where it does not say."""
        return str(self.arrays["extractor"]) if "extractor" in self.arrays else None

    @property
    def weights_sha256(self) -> str | None:
        """The weights of that extractor; None where it does not say."""
        return str(self.arrays["weights_sha256"]) if "weights_sha256" in self.arrays else None

    @cached_property
    def sha256(self) -> str:
        """The content hash: of the file's bytes; of what counts alone where images lie beside it."""
        if len(self.files) > 1:
            return hashlib.sha256("".join(map(sha256_file, self.files)).encode()).hexdigest()
        (file,) = self.files
        if not isinstance(self.arrays, _Npz) or all(len(self.arrays.shape(name)[0]) < 3 for name in self.arrays):
            return sha256_file(file)
        digest = hashlib.sha256()
        for array in (self.mu, self.sigma, self.rows):
            if array is not None:
                digest.update(f"{array.dtype.str}{list(array.shape)}".encode() + array.tobytes())
        return digest.hexdigest()

    def statistics(self, extractor: FeatureExtractor) -> FrechetStatistics:
        """The statistics, which are those of features of ``extractor``.

        Raises:
            InputError: another extractor made them, or they are no mean and covariance; it says which.
        """
        for name, made_by in (("extractor", extractor.name), ("weights_sha256", extractor.weights_sha256)):
            said = getattr(self, name)
            if said is not None and said != made_by:
                raise InputError(
                    f"{self.path} was made with another extractor: its {name} is {said}, not {made_by}.",
                    "Distances between features of two networks mean nothing: choose the same --extractor and "
                    "--weights.",
                )
        if self.rows is not None:
            return self._summed_up(self.rows, extractor)
        assert self.mu is not None and self.sigma is not None
        mu, sigma = self._shaped(extractor)
        if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
            raise InputError(f"{self.path} holds {mu.dtype} and {sigma.dtype}, not numbers.")
        if np.float16 in (mu.dtype, sigma.dtype):
            raise InputError(
                f"{self.path} holds {mu.dtype} and {sigma.dtype}: numbers of three digits are too few for a distance.",
                "Compute the statistics in float64.",
            )
        with np.errstate(over="ignore"):  # a long double may be beyond float64: it is infinity then
            mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
        flaw = flaw_of(mu, sigma)
        if flaw is not None:
            raise InputError(
                f"{self.path} holds no statistics of features: {flaw}.",
                "Compute them again: numpy.mean(features, axis=0) and numpy.cov(features, rowvar=False).",
            )
        return FrechetStatistics(self._count(), mu, sigma)

    def features(self, images: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """The features of these images, [k, D]; None where there are statistics alone."""
        return None if self.rows is None else np.asarray(self.rows[images], dtype=np.float32)

    def _shaped(self, extractor: FeatureExtractor) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """mu [D] and sigma [D, D]."""
        assert self.mu is not None and self.sigma is not None
        first, second = self.names
        mu, sigma, dims = self.mu, self.sigma, extractor.dims
        given = f"{first} {list(mu.shape)} and {second} {list(sigma.shape)}"
        if mu.ndim == 2 and mu.shape[0] == mu.shape[1] > 1 and sigma.size == mu.shape[0]:
            raise InputError(f"{self.path} has {given}: the two are swapped.", "Name each what it is.")
        if sigma.ndim <= 2 and sigma.size == mu.size > 1:
            raise InputError(
                f"The {second} {list(sigma.shape)} in {self.path} holds variances alone, one a feature.",
                f"A Fréchet distance needs the covariances, [{mu.size}, {mu.size}]: numpy.cov(features, rowvar=False).",
            )
        row = mu.squeeze() if mu.ndim > 1 and mu.size == max(mu.shape) else mu
        matrix = sigma[0] if sigma.ndim == 3 and len(sigma) == 1 else sigma
        row, matrix = np.atleast_1d(row), np.atleast_2d(matrix)
        if row.shape != (dims,) or matrix.shape != (dims, dims):
            whole = row.ndim == 1 and matrix.shape == (row.size, row.size)
            remedy = _remedy(extractor, row.size) if whole else None
            raise InputError(
                f"{self.path} has {given}, but {extractor.name} has {dims} dims.",
                remedy or "Choose the --extractor and --dims that the statistics were made with.",
            )
        return row, matrix

    def _count(self) -> int | None:
        """How many images were summed up; None where that is not said."""
        count = self.arrays.get("n")
        if count is None:
            return None
        whole = count.size == 1 and count.dtype.kind in "iuf" and np.isfinite(count).all()
        if not whole or count.item() != int(count.item()) or count.item() < 2:
            shown = count.item() if count.size == 1 else f"an array {list(count.shape)}"
            raise InputError(
                f"The n in {self.path} is {shown}, not a number of images: a covariance takes at least 2.",
                "Leave it out where it is not known.",
            )
        return int(count.item())

    def _summed_up(self, rows: npt.NDArray[Any], extractor: FeatureExtractor) -> FrechetStatistics:
        if rows.shape[1] != extractor.dims:
            raise InputError(
                f"{self.path} holds features {list(rows.shape)}, but {extractor.name} has {extractor.dims} dims.",
                _remedy(extractor, rows.shape[1]) or "Choose the --extractor and --dims that they were made with.",
            )
        if len(rows) < 2:
            raise InputError(f"{self.path} holds features {list(rows.shape)}: a covariance takes at least 2 images.")
        running = RunningStatistics(extractor.dims)
        most = np.finfo(np.float32).max
        for first in range(0, len(rows), _BLOCK):
            block = np.asarray(rows[first : first + _BLOCK])
            if not (np.abs(block) <= most).all():
                raise InputError(f"The features in {self.path} hold NaN, infinity or numbers beyond float32's.")
            running.update(block.astype(np.float32))
        return running.finish()


def holds_statistics(path: Path) -> bool:
    """Whether ``path`` is statistics, or features, and not images: by its content, of which only headers are read.

    A folder is, where mean and covariance lie in it as two ``.npy`` files and no image does. So is a file that is
    neither, but is called like one, so that opening it says what is wrong with it.
    """
    if path.is_dir():
        return _pair_in(path) is not None
    named = path.suffix.lower() in _SUFFIXES
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if head.startswith(_NPY):
                file.seek(0)
                return len(_header(file)[0]) < 3
        if not head.startswith(_ZIP):
            return head.startswith(_PICKLE) or (named and kind_of(head) not in _CONTAINERS)
        if _begins_with_an_image(head):  # 200,000 names take seconds to list
            return False
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not is_litter(name)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return named
    if _is_torch(names):
        return True
    if not names or any(not name.endswith(".npy") for name in names):
        return named and not names
    arrays = _Npz(path)
    if _twins(arrays):
        return True
    try:
        return all(len(arrays.shape(name)[0]) < 3 for name in arrays)
    except InputError:
        return True


def open_statistics(path: Path) -> StatisticsFile:
    """The statistics, or the features, at ``path``; of an ``.npz`` nothing else is read.

    Raises:
        InputError: nothing there, or neither; a pickle is refused, for it can run code.
    """
    if path.is_dir():
        pair = _pair_in(path)
        if pair is None:
            raise InputError(f"The folder {path} holds no mean and covariance.", "They are mu.npy and sigma.npy.")
        return _from_pair(path, *pair)
    if not path.is_file():
        raise InputError(f"{path} is not there.")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        names = zipfile.ZipFile(path).namelist() if head.startswith(_ZIP) else []
    except (OSError, ValueError, zipfile.BadZipFile) as problem:
        raise _no_npz(path, problem) from problem
    if head.startswith(_NPY):
        return _from_npy(path)
    if head.startswith(_OLD_TORCH) or _is_torch(names):
        return _from_torch(path)
    if head.startswith(_PICKLE):
        raise _pickled(path, "is a Python pickle")
    if not head.startswith(_ZIP):
        kind = kind_of(head)
        what = "no zip archive" if kind is None else kind.name
        raise InputError(
            f"{path} is not an .npz file of plain arrays: it is {what}.", None if kind is None else kind.remedy
        )
    return _from_arrays(path, _Npz(path))


def refuse_statistics(path: Path, what: str) -> None:
    """InputError where ``path``, which ``what`` needs images of, holds statistics."""
    if holds_statistics(path):
        raise InputError(f"{path} holds statistics, and {what} needs the images.", "Name the images instead.")


def _from_arrays(path: Path, arrays: Arrays) -> StatisticsFile:
    pairs = _twins(arrays)
    if len(pairs) == 1:
        mu, sigma = (arrays[name] for name in pairs[0])
        return StatisticsFile(path, (path,), pairs[0], arrays, mu, sigma)
    held = ", ".join(f"{name} {dtype} {list(shape)}" for name, (shape, dtype) in _shapes(arrays).items())
    if pairs:
        raise InputError(
            f"{path} holds several pairs of mean and covariance: {held}.", "Save the two you mean as mu and sigma."
        )
    rows = _rows_in(arrays)
    if rows is not None:
        return StatisticsFile(path, (path,), _PAIRS[0], arrays, rows=rows)
    names = next((pair for pair in _PAIRS if pair[0] in arrays or pair[1] in arrays), _PAIRS[0])
    raise InputError(
        f"{path} lacks {' and '.join(sorted(name for name in names if name not in arrays))}"
        f"{f': it holds {held}' if held else ''}.",
        "Reference statistics are an .npz with mu and sigma, as 'pytorch-fid --save-stats' and "
        "'facegen fid --save-stats' write them.",
    )


def _twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """The means and covariances among names: the one pair of known names, or all that differ in that word alone."""
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
    """Each array's shape and type; of an ``.npz`` by the headers alone."""
    if isinstance(arrays, _Npz):
        return {name: arrays.shape(name) for name in arrays}
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _rows_in(arrays: Arrays) -> npt.NDArray[Any] | None:
    """The features among arrays without mean and covariance: by their name, or as the only matrix of floats."""
    if any(name in arrays for pair in _PAIRS for name in pair):
        return None
    shapes = _shapes(arrays)
    found = [name for name in _FEATURES if name in arrays] or list(arrays)
    matrices = [name for name in found if len(shapes[name][0]) == 2 and shapes[name][1].kind == "f"]
    if len(matrices) != 1:
        return None
    rows = arrays[matrices[0]]
    return None if _may_be_a_covariance(rows) else rows


def _may_be_a_covariance(matrix: npt.NDArray[Any]) -> bool:
    """Whether it is square and symmetric, to rounding: then it is none of features."""
    if len(matrix) != matrix.shape[1] or len(matrix) < 2:
        return False
    return bool(np.abs(matrix - matrix.T).max() <= _SYMMETRIC * np.abs(matrix).max())


def _from_npy(path: Path) -> StatisticsFile:
    """One of a pair, whose twin lies beside it; or features."""
    beside = {file.stem: file for file in path.parent.glob(f"*{path.suffix}") if file.is_file()}
    for first, second in _twins_with(path.stem, beside):
        return _from_pair(path, beside[first], beside[second])
    array = _read_npy(path)
    square = array.ndim == 2 and _may_be_a_covariance(array)
    if array.ndim < 2 or 1 in array.shape or square:
        what, other = ("a covariance", "mean") if square and array.size > 1 else ("a mean", "covariance")
        raise InputError(
            f"{path} holds {list(array.shape)}, {what} without its {other}.",
            "Two such files go together by their names: mu.npy beside sigma.npy, or mean.npy beside cov.npy.",
        )
    if array.dtype.kind != "f":
        raise InputError(
            f"{path} holds {array.dtype} {list(array.shape)}, neither features nor images.",
            "Features are floating-point numbers [N, D]; images are uint8 [N, H, W, 3].",
        )
    return StatisticsFile(path, (path,), _PAIRS[0], {}, rows=array)


def _from_pair(path: Path, mean: Path, covariance: Path) -> StatisticsFile:
    mu, sigma = _read_npy(mean), _read_npy(covariance)
    return StatisticsFile(path, (mean, covariance), (mean.stem, covariance.stem), {}, mu, sigma)


def _twins_with(stem: str, stems: Iterable[str]) -> list[tuple[str, str]]:
    """The pair that ``stem`` is one of, among ``stems``: of known names, or that differ in the word alone."""
    known = [pair for pair in _PAIRS if set(pair) <= set(stems)]
    of_known = [pair for pair in known if stem in pair]
    others = set(stems).difference(*known)
    return of_known or [pair for pair in _twins(sorted(others)) if stem in pair]


def _pair_in(folder: Path) -> tuple[Path, Path] | None:
    """A folder's mean and covariance, where it has no image beside them, and no second pair."""
    files = {entry.stem: entry for entry in folder.iterdir() if entry.suffix.lower() == ".npy" and entry.is_file()}
    pairs = _twins(files)
    if len(pairs) != 1 or any(entry.suffix.lower() in suffixes() for entry in folder.iterdir()):
        return None
    return files[pairs[0][0]], files[pairs[0][1]]


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            objects = _header(file)[1].hasobject
        if not objects:
            array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
    except (OSError, ValueError, EOFError) as problem:
        raise InputError(f"{path} is not a whole .npy file: {str(problem).rstrip('.')}.") from problem
    raise _pickled(path, "holds a pickled Python object")


def _from_torch(path: Path) -> StatisticsFile:
    """What ``torch.save`` wrote: mu and sigma, as torch-fidelity keeps them, or features [N, D]."""
    import torch

    # torch-fidelity stores NumPy's arrays: numbers too, which torch loads once they are named.
    if kind_of_file(path) is TORCHSCRIPT:
        raise InputError(
            f"{path} is a TorchScript module, not statistics.",
            f"Run it over the images, and store its features' mean and covariance: {_SAVE}.",
        )
    permitted = getattr(torch.serialization, "safe_globals", None)  # torch 2.4 has none, and loads tensors alone
    try:
        with nullcontext() if permitted is None else permitted(_plain_types()), path.open("rb") as file:
            found = torch.load(file, map_location="cpu", weights_only=True)  # of a path, torch looks at the name too
    except Exception as problem:  # it raises whatever it stumbles over
        if type(problem).__name__ == "UnpicklingError":  # it names what torch would not load
            raise _pickled(path, "holds pickled Python objects") from problem
        raise InputError(
            f"{path} is not a whole PyTorch file ({path.stat().st_size:,} bytes).", "Download or copy it again."
        ) from problem
    items = found.items() if isinstance(found, dict) else [("", found)]
    arrays = {str(name): array for name, value in items if (array := _as_array(value)) is not None}
    return _from_arrays(path, arrays)


def _plain_types() -> list[Any]:
    """What a pickle of a NumPy array names: types and functions that hold numbers and run nothing."""
    makers: list[Any] = [np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")  # before NumPy 2, and since
    named = [(maker, f"{module}.{maker.__name__}") for maker in makers for module in modules]
    return [np.ndarray, np.dtype, codecs.encode, *named, *{type(np.dtype(code)) for code in "?bhilqBHILQefdgU"}]


def _as_array(value: Any) -> npt.NDArray[Any] | None:
    """A tensor, array, number or text as an array; None of anything else."""
    from torch import Tensor

    if isinstance(value, Tensor):
        # NumPy has no bfloat16.
        return np.asarray((value.float() if value.is_floating_point() and value.element_size() < 4 else value).numpy())
    if isinstance(value, np.ndarray):
        return None if value.dtype.hasobject else value
    return np.asarray(value) if isinstance(value, (int, float, str, np.generic)) else None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the ``.npy`` that ``file`` stands at the start of. ValueError where it is none."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _is_torch(names: Iterable[str]) -> bool:
    """Whether a zip with these members is what ``torch.save`` writes."""
    return any(name.rpartition("/")[2] == "data.pkl" for name in names)


def _begins_with_an_image(head: bytes) -> bool:
    """Whether the first member of the zip that starts so is an image, or a folder, by its name."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    return name.endswith("/") or Path(name).suffix.lower() in suffixes()


def _no_npz(path: Path, problem: object) -> InputError:
    why = "an array of it holds pickled Python objects" if "allow_pickle" in str(problem) else str(problem).rstrip(".")
    return InputError(f"{path} is not an .npz file of plain arrays: {why}.")


def _pickled(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} {what}, which facegen does not load: that can run code.",
        "If you trust where it comes from, load it as the program that wrote it does (StyleGAN's: mu, sigma = "
        f"FeatureStats.load(FILE).get_mean_cov()), and store its numbers: {_SAVE}.",
    )


def _remedy(extractor: FeatureExtractor, dims: int) -> str | None:
    """The option with which statistics of these dims fit; None where no extractor has so many."""
    own = extractor_of(extractor.name)
    if own is not None and dims in own.dims:
        return f"If {own.title} made them, add --dims {dims}."
    for entry in extractors().values():
        if dims in entry.dims:
            option = "" if dims == entry.default_dims else f" --dims {dims}"
            return f"If {entry.title} made them, add --extractor {entry.name}{option}."
    return None


def write_statistics(
    target: Path,
    statistics: FrechetStatistics,
    properties: ImageProperties | None,
    extractor: FeatureExtractor,
    more: Mapping[str, Any],
) -> None:
    """Write mu and sigma, n, the extractor that made them, the images' properties, and the arrays in ``more``."""
    arrays: dict[str, Any] = {
        "mu": statistics.mu,
        "sigma": statistics.sigma,
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        **more,
    }
    if statistics.n is not None:
        arrays["n"] = statistics.n
    if properties is not None:
        arrays |= {"sizes": np.array(properties.sizes), "sign": properties.sign or ""}
        if properties.detail is not None:
            arrays |= {
                "detail": np.stack([properties.detail.mean, properties.detail.variance]),
                "detail_n": properties.detail.n,
            }
        if properties.colours is not None:
            colours = properties.colours
            arrays |= {"colours": colours.counts, "colours_of": np.array([colours.n, colours.full, colours.barely])}
        if properties.mean is not None:
            arrays |= {"mean_image": properties.mean.luma, "mean_image_n": properties.mean.n}
        if properties.crop is not None:
            arrays["crop"] = properties.crop
        if properties.losses:
            notes, counts = zip(*properties.losses, strict=True)
            arrays |= {"losses": np.array(notes), "loss_counts": np.array(counts)}
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def properties_in(arrays: Arrays) -> ImageProperties | None:
    """The images' properties in a file's arrays; None where ``write_statistics`` did not write them there."""
    sizes, sign, detail, detail_n = (arrays.get(name) for name in ("sizes", "sign", "detail", "detail_n"))
    if sizes is None or sign is None or sizes.ndim != 2 or sizes.shape[1] != 3 or not len(sizes):
        return None
    known = None
    if detail is not None and detail_n is not None and detail.shape == (2, 2):
        known = Detail(int(detail_n), detail[0], detail[1])
    crop = arrays.get("crop")
    return ImageProperties(
        tuple((int(height), int(width), int(count)) for height, width, count in sizes),
        str(sign) or None,
        known,
        _colours_in(arrays),
        _mean_in(arrays),
        None if crop is None else str(crop),
        _losses_in(arrays),
    )


def _colours_in(arrays: Arrays) -> Colours | None:
    counts, of = arrays.get("colours"), arrays.get("colours_of")
    if counts is None or of is None or counts.shape != (COLOURS,) or counts.dtype.kind not in "iu" or of.shape != (3,):
        return None
    n, full, barely = (float(number) for number in of)
    return Colours(int(n), counts.astype(np.int64), full, barely)


def _mean_in(arrays: Arrays) -> MeanImage | None:
    luma, n = arrays.get("mean_image"), arrays.get("mean_image_n")
    if luma is None or n is None or luma.shape != (SIDE, SIDE) or luma.dtype.kind != "f" or not np.isfinite(luma).all():
        return None
    return MeanImage(int(n), luma.astype(np.float64))


def _losses_in(arrays: Arrays) -> tuple[tuple[str, int], ...]:
    notes, counts = arrays.get("losses"), arrays.get("loss_counts")
    if notes is None or counts is None or notes.shape != counts.shape or notes.ndim != 1:
        return ()
    return tuple((str(note), int(count)) for note, count in zip(notes, counts, strict=True) if str(note) in LOSSES)
