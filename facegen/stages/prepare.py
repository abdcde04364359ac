"""The prepare stage: turn photographs from anywhere into a dataset of equal squares."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import facegen
from facegen import console
from facegen.data.caps import PixelCount
from facegen.data.dataset import SPLITS, FaceDataset, is_dataset
from facegen.data.rgb import AS_STORED, REMEDIES, PreparedRgb
from facegen.data.selection import Selection, select
from facegen.data.sources import CHUNK, Source, StoredImages, open_source
from facegen.data.unfinished import Preparation, bytes_kept, resumed
from facegen.data.workers import default_workers, transform_chunks
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import StrPath, optional_path, writing_told
from facegen.locks import sole_use
from facegen.notebook.cards import card, facts, picture
from facegen.pictures.contact_sheet import contact_sheet, require_ours, save_png
from facegen.submission.rules import LARGEST_SIZE, LIMITS

_SHOWN_SKIPS = 5
_PREVIEW_COLUMNS, _PREVIEW_SIDE = 8, 4096


@dataclass(frozen=True)
class PrepareResult:
    """A prepared dataset.

    Attributes:
        path: The dataset's folder.
        images: Number of images in it.
        skipped: Number of source images that could not be read. ``manifest.json`` lists them with reasons.
        splits: Number of images in ``train``, ``valid`` and ``test``.
        sha256: Hash of the pixels, names and splits.
        seconds: Time spent.
        reused: Whether the dataset was already there, from the same source with the same options.
    """

    path: Path
    images: int
    skipped: int
    splits: dict[str, int]
    sha256: str
    seconds: float
    reused: bool

    @classmethod
    def from_manifest(cls, path: Path, manifest: dict[str, Any], seconds: float, reused: bool) -> PrepareResult:
        skipped = len(manifest.get("skipped", ()))
        return cls(path, manifest["images"], skipped, manifest["splits"], manifest["sha256"], seconds, reused)

    def _repr_html_(self) -> str | None:
        try:
            images = FaceDataset.open(self.path).images
        except InputError:
            return None
        rows = _shown_rows(images)
        found: dict[str, object] = {"images": f"{self.images:,}"}
        found |= {split: f"{count:,}" for split, count in self.splits.items() if count}
        found |= {"skipped": f"{self.skipped:,}" if self.skipped else None, "sha256": self.sha256}
        found |= {"took": None if self.reused else f"{self.seconds:,.1f} s"}
        shown = picture(contact_sheet(images[rows]), f"{len(rows):,} of the images, evenly spaced from first to last")
        return card(f"Dataset {self.path}", facts(found), shown)


def prepare(
    source: str | Path,
    dataset: StrPath,
    *,
    size: int = LIMITS.size,
    limit: int | None = None,
    partition: StrPath | None = None,
    split: str = "all",
    workers: int | None = None,
    strict: bool = False,
    seed: int = 0,
    force: bool = False,
    crop: int | None = None,
    preview: StrPath | None = None,
    upright: bool = False,
    srgb: bool = False,
) -> PrepareResult:
    """Prepare the images of ``source`` as a dataset folder of uint8 [N, size, size, 3] RGB.

    The pixels equal torchvision's ``Resize(size)`` then ``CenterCrop(size)``, bit for bit. If the dataset is already
    there, from the same source with the same options, it is reused. An interrupted preparation is resumed.

    Args:
        source: A folder, a .zip, a .tar or .tar.gz, a .npy, .npz, parquet or HDF5 file of images, torchvision's
            CelebA root, ``"synthetic"`` or ``"synthetic:N"``.
        dataset: The folder to create. An existing dataset there is replaced. Anything else there is an InputError.
        size: Side of the images in pixels. The default is that of a submission's images.
        limit: Maximum number of images to keep, in natural order of their names, after ``split``. None keeps all.
        partition: CelebA's ``list_eval_partition.txt``, or a table with such columns. Images that it does not name
            are left out. By default it is searched for in the archive of the images and in the folders around them.
        split: The split to keep: ``"train"``, ``"valid"``, ``"test"`` or ``"all"``. All but ``"all"`` need a partition.
        workers: Number of processes that decode images. None means one per core; 0 and 1 mean no extra process.
        strict: Whether an unreadable image is an InputError. By default it is skipped and listed in the manifest.
        seed: Seed of drawn faces.
        force: Whether to prepare even if ``dataset`` already holds the same.
        crop: Side in pixels of a central square to cut from each photograph before the resize. The pixels then equal
            torchvision's ``CenterCrop(crop)`` then ``Resize(size)``. Smaller images are skipped. None keeps the whole
            shorter side, as the course does.
        preview: A PNG to write that shows up to 64 of the images, evenly spaced from first to last.
        upright: Whether to turn images by their EXIF orientation, as the camera was held. torchvision does not.
        srgb: Whether to convert images from their ICC profiles to sRGB. torchvision does not.

    Raises:
        InputError: The source, partition, destination or preview cannot be used.
        EnvironmentProblem: The disk is full, permission is missing, or worker processes died.
    """
    dataset = Path(dataset)
    partition = optional_path(partition)
    began = time.perf_counter()
    _check_options(size, limit, split, crop, seed)
    to_rgb = PreparedRgb(upright, srgb)
    images = open_source(source, seed, to_rgb)
    _check_destination(dataset, images)
    preview = optional_path(preview)
    if preview is not None:
        _check_preview(preview, dataset, images)
    _tell_what_is_passed_over(images)
    selection = select(images, partition, split, limit)
    fingerprint = _fingerprint(images, selection, size, split, limit, crop, to_rgb)
    key = hashlib.sha256(json.dumps([fingerprint, strict, _versions()]).encode()).hexdigest()
    with sole_use(dataset, f"prepares {dataset}"):
        if not force and (manifest := _already_there(dataset, fingerprint, strict)):
            console.info(f"{dataset} is already prepared from {images.label}: {_counts(manifest)}.")
            prepared = PrepareResult.from_manifest(dataset, manifest, time.perf_counter() - began, reused=True)
        else:
            _check_disk_space(dataset, len(selection.names) * size * size * 3 - bytes_kept(dataset))
            with writing_told(f"Cannot write the dataset {dataset}"), resumed(dataset, size, key) as preparation:
                summary = _take(preparation, images, selection, size, crop, workers, strict)
                manifest = preparation.writer.finish(
                    {
                        "fingerprint": fingerprint,
                        "source": {"kind": images.kind, "name": images.label, "identity": images.identity},
                        "transform": _transform(size, crop, to_rgb),
                        "crop": crop,
                        "options": {
                            "split": split,
                            "limit": limit,
                            "partition_sha256": selection.partition_sha256,
                            "upright": upright,
                            "srgb": srgb,
                        },
                        "converted": dict(sorted(summary.notes.items())),
                        "skipped": summary.skipped,
                        "not_in_partition": selection.left_out,
                        "passed_over": images.passed_over.to_json(),
                        "versions": _versions(),
                    }
                )
            prepared = PrepareResult.from_manifest(dataset, manifest, time.perf_counter() - began, reused=False)
            _tell(prepared, manifest)
        if preview is not None:
            _save_preview(preview, dataset)
    return prepared


@dataclass
class _Summary:
    """The outcome for the images: the count of each note, and the skipped images."""

    notes: Counter[str] = field(default_factory=Counter)
    skipped: list[dict[str, str]] = field(default_factory=list)


def _take(
    preparation: Preparation,
    images: Source,
    selection: Selection,
    size: int,
    crop: int | None,
    workers: int | None,
    strict: bool,
) -> _Summary:
    """Transform the images and append them, except for those that an earlier run appended. The result is the same."""
    path = images.container.path if isinstance(images, StoredImages) else None
    total, summary, pixels = len(selection.names), _Summary(), PixelCount(path)
    done = 0
    for kept in preparation.kept:
        summary.notes += Counter(kept["notes"])
        summary.skipped += kept["skipped"]
        pixels.add(kept["pixels"])
        done += kept["images"]
    if done:
        console.info(f"Resuming after {done:,} of {total:,} images.")
    rest = selection.names[done:]
    if workers is None:
        workers = default_workers()
    workers = min(workers, -(-len(rest) // CHUNK))
    try:
        with (
            console.progress(f"Preparing {images.label}", total, done=done) as task,
            closing(transform_chunks(images.chunks(rest), size, workers, crop)) as blocks,
        ):
            for block in blocks:
                pixels.add(block.pixels)
                skipped = [{"name": name, "reason": reason} for name, reason in block.skipped]
                if strict and skipped:
                    raise InputError(
                        f"Cannot read {skipped[0]['name']} in {path or images.label}: {skipped[0]['reason']}.",
                        "Repair or remove it, or omit --strict to skip it.",
                    )
                count = len(block.names) + len(skipped)
                told = {"images": count, "pixels": block.pixels, "notes": block.notes, "skipped": skipped}
                preparation.append(block.images, block.names, [selection.splits[name] for name in block.names], told)
                summary.notes += block.notes
                summary.skipped += skipped
                done += count
                task.advance(count)
    except KeyboardInterrupt:
        if done:
            console.info(f"Stopped after {done:,} of {total:,} images. Run the same command again to resume.")
        raise
    if isinstance(images, StoredImages):
        images.require_unchanged()
    if not preparation.writer.count:
        raise InputError(
            f"None of the {len(summary.skipped):,} images in {path or images.label} can be used. "
            f"{summary.skipped[0]['name']}: {summary.skipped[0]['reason']}.",
            None if crop is None else "Use a smaller --crop, or none.",
        )
    return summary


def _check_options(size: int, limit: int | None, split: str, crop: int | None, seed: int) -> None:
    if size < 1 or (limit is not None and limit < 1) or (crop is not None and crop < 1):
        raise InputError("The size, the crop and the limit must be at least 1.")
    if size > LARGEST_SIZE:
        raise InputError(f"The size {size:,} is more than {LARGEST_SIZE:,} pixels.", "Choose a smaller --size.")
    if not 0 <= seed < 1 << 64:
        raise InputError(f"The seed {seed} is outside 0 to 2⁶⁴ − 1.", "Choose another --seed.")
    if split not in (*SPLITS, "all"):
        raise InputError(f"There is no split {split!r}.", f"Choose one of {', '.join(SPLITS)} and all.")


def _check_destination(dataset: Path, images: Source) -> None:
    if isinstance(images, StoredImages):
        path = images.container.path
        if dataset.resolve() in (path.resolve(), *path.resolve().parents):
            raise InputError(f"The dataset {dataset} would replace its source {path}.", "Name another folder for it.")


def _check_preview(preview: Path, dataset: Path, images: Source) -> None:
    """Check before the work that the preview can be written and lies outside the dataset and the source."""
    if preview.suffix.lower() != ".png":
        raise InputError(f"The preview {preview} does not end in .png.", "Name it preview.png, for example.")
    folders = preview.resolve().parents
    if dataset.resolve() in folders:
        raise InputError(f"The preview {preview} would lie in the dataset {dataset}.", "Name another folder for it.")
    if isinstance(images, StoredImages) and images.container.path.resolve() in folders:
        raise InputError(
            f"The preview {preview} would be one of the images of {images.container.path}.",
            "Name another folder for it.",
        )
    with writing_told(f"Cannot write the preview {preview}", "Name another file for it."):
        require_ours(preview)


def _save_preview(preview: Path, dataset: Path) -> None:
    """Write a contact sheet of evenly spaced images: at most 8 by 8 images and about 4,096 by 4,096 pixels."""
    images = FaceDataset.open(dataset).images
    rows = _shown_rows(images)
    with writing_told(f"Cannot write the preview {preview}"):
        save_png(preview, contact_sheet(images[rows]))
    console.info(f"The preview {preview} shows {len(rows):,} of {len(images):,} images.")


def _shown_rows(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the rows that a preview shows."""
    columns = max(1, min(_PREVIEW_COLUMNS, _PREVIEW_SIDE // images.shape[1]))
    return np.unique(np.linspace(0, len(images) - 1, min(len(images), columns**2)).round().astype(np.int64))


def _transform(size: int, crop: int | None, to_rgb: PreparedRgb) -> str:
    resize = f"Resize({size}) bilinear antialiased"
    steps = f"{resize}, CenterCrop({size})" if crop is None else f"CenterCrop({crop}), {resize}"
    return f"{to_rgb.description}, {steps}"


def _tell_what_is_passed_over(images: Source) -> None:
    if not isinstance(images, StoredImages):
        return
    path, taken = images.container.path, len(images.names)
    for sentence in images.passed_over.warnings(path, taken):
        console.warn(sentence)
    images.passed_over.say_remark(path, taken)


def _fingerprint(
    images: Source,
    selection: Selection,
    size: int,
    split: str,
    limit: int | None,
    crop: int | None,
    to_rgb: PreparedRgb,
) -> str:
    """Return a hash of everything that decides the dataset's content.

    With an equal hash, preparing again changes nothing.
    """
    deciding = [images.kind, images.label, images.identity, selection.partition_sha256, size, split, limit]
    # A default adds nothing, so that datasets from before an option existed keep their fingerprint.
    if crop is not None:
        deciding.append(f"crop {crop}")
    if to_rgb != AS_STORED:
        deciding.append(to_rgb.description)
    return hashlib.sha256(json.dumps([facegen.__version__, *deciding]).encode()).hexdigest()


def _already_there(dataset: Path, fingerprint: str, strict: bool) -> dict[str, Any] | None:
    """Return the manifest of the existing dataset if it is intact and equals the one that would be made; else None."""
    if not is_dataset(dataset):
        return None
    try:
        there = FaceDataset.open(dataset)
        manifest = there.manifest
        if manifest.get("fingerprint") == fingerprint:
            there.verify()
            if not isinstance(manifest.get("skipped"), list) or not {"images", "splits"} <= manifest.keys():
                raise InputError(f"The manifest of {dataset} lacks fields that facegen writes.")
    except InputError as problem:
        console.warn(f"{problem.message} It is replaced.")
        return None
    if manifest.get("fingerprint") != fingerprint:
        console.info(f"Replacing {dataset}, which was prepared from other images or with other options.")
        return None
    return None if strict and manifest.get("skipped") else manifest


def _check_disk_space(dataset: Path, needed: int) -> None:
    existing = next(folder for folder in dataset.resolve().parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise EnvironmentProblem(
            f"The dataset {dataset} needs {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free there.",
            "Free some space, name another folder, or prepare fewer images with --limit.",
        )


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("pillow", "numpy")}
    return {"facegen": facegen.__version__, "python": platform.python_version(), **libraries}


def _counts(manifest: dict[str, Any]) -> str:
    splits = ", ".join(f"{count:,} {split}" for split, count in manifest["splits"].items() if count)
    return f"{manifest['images']:,} images ({splits})"


def _tell(prepared: PrepareResult, manifest: dict[str, Any]) -> None:
    rate = prepared.images / prepared.seconds
    console.info(f"Prepared {_counts(manifest)} in {prepared.seconds:.1f} s: {rate:,.0f} images/s.")
    for note, count in manifest["converted"].items():
        remedy = f" {REMEDIES[note]}" if note in REMEDIES else ""
        console.info(f"{count:,} {'image was' if count == 1 else 'images were'} {note}.{remedy}")
    if skipped := manifest["skipped"]:
        shown = "; ".join(f"{skip['name']} ({skip['reason']})" for skip in skipped[:_SHOWN_SKIPS])
        more = f"; and {len(skipped) - _SHOWN_SKIPS:,} more" if len(skipped) > _SHOWN_SKIPS else ""
        images = "image" if len(skipped) == 1 else "images"
        console.warn(f"Skipped {len(skipped):,} unreadable {images}, listed in manifest.json: {shown}{more}.")
