"""The same faces through every container: the same pixels, in the same order."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from facegen.data.images import open_images
from facegen.data.opening import open_container
from facegen.data.sources import open_source

#: uint8 [5, 12, 10, 3]
PIXELS = np.random.default_rng(7).integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


FILES = {f"img_align_celeba/{at:06d}.png": png(pixels) for at, pixels in enumerate(PIXELS, start=1)}
Write = Callable[[Path], Path]


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def saved(save: Callable[..., None], *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def table(path: Path) -> Path:
    column = pa.array([{"bytes": data, "path": name[-10:]} for name, data in FILES.items()])
    pq.write_table(pa.table({"image": column, "celeb_id": [1, 2, 3, 4, 5]}), path, row_group_size=2)
    return path


def hdf5(fill: Callable[[h5py.File], object]) -> Write:
    def write(path: Path) -> Path:
        with h5py.File(path, "w") as file:
            fill(file)
        return path

    return write


def column_of_bytes(file: h5py.File) -> None:
    column = file.create_dataset("jpegs", (len(FILES),), h5py.vlen_dtype(np.uint8))
    for row, data in enumerate(FILES.values()):
        column[row] = np.frombuffer(data, np.uint8)


def group(file: h5py.File) -> None:
    for at, pixels in enumerate(PIXELS):
        file.create_dataset(f"img_align_celeba/{at}.jpg", data=pixels, compression="gzip")


def group_of_files(file: h5py.File) -> None:
    for name, data in FILES.items():
        file[name] = np.frombuffer(data, np.uint8)


def content(data: Callable[[], bytes]) -> Write:
    def write(path: Path) -> Path:
        path.write_bytes(data())
        return path

    return write


def shards(path: Path) -> Path:
    whole = pq.read_table(table(path))
    path.unlink()
    (path / "data").mkdir(parents=True)
    (path / "README.md").write_text("A data set.")
    for at, rows in enumerate((whole.slice(0, 2), whole.slice(2))):
        pq.write_table(rows, path / "data" / f"train-{at:05d}-of-00002.parquet")
    return path


def parts(path: Path) -> Path:
    path.mkdir()
    for at in (1, 2, 3):
        files = {name: data for number, (name, data) in enumerate(FILES.items()) if number % 3 == at - 1}
        (path / f"celeba-20240101T120000Z-{at:03d}.zip").write_bytes(zipped(files))
    return path


STYLEGAN = {f"00000/img{at:08d}.png": png(pixels) for at, pixels in enumerate(PIXELS)}
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
CHUNKS = {"chunks": (2, 4, 5, 3), "compression": "gzip"}
FIRST = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2))
FORMS: dict[str, Write] = {
    "npy": content(lambda: saved(np.save, PIXELS)),
    "npy, channels first": content(lambda: saved(np.save, FIRST)),
    "npz of ADM": content(lambda: saved(np.savez, PIXELS, np.arange(5))),
    "npz, compressed": content(lambda: saved(np.savez_compressed, PIXELS)),
    "npz, another name": content(lambda: saved(np.savez, images=PIXELS, labels=np.arange(5))),
    "npz of a reference batch": content(lambda: saved(np.savez, arr_0=PIXELS, mu=np.ones(8), sigma=np.eye(8))),
    "parquet": table,
    "parquet shards": shards,
    "hdf5": hdf5(lambda file: file.create_dataset("images", data=PIXELS)),
    "hdf5, chunks": hdf5(lambda file: file.create_dataset("a/x", data=PIXELS, **CHUNKS)),
    "hdf5, channels first": hdf5(lambda file: file.create_dataset("data", data=FIRST)),
    "hdf5, a column of files": hdf5(column_of_bytes),
    "hdf5, a group": hdf5(group),
    "hdf5, a group of files": hdf5(group_of_files),
    "StyleGAN's zip": content(lambda: zipped({**STYLEGAN, "dataset.json": json.dumps({"labels": None}).encode()})),
    "zip in a zip, stored": content(lambda: zipped({"c/img.zip": zipped(FILES), "c/list.txt": b"1"}, STORED)),
    "zip in a zip, deflated": content(lambda: zipped({"c/img.zip": zipped(FILES)}, DEFLATED)),
    "zip in a zip in a zip": content(lambda: zipped({"b.zip": zipped({"a.zip": zipped(FILES)}, STORED)}, STORED)),
    "tar in a zip, stored": content(lambda: zipped({"img.tar": tarred(FILES)}, STORED)),
    "tar.gz in a zip, deflated": content(lambda: zipped({"img.tar.gz": tarred(FILES, "w:gz")}, DEFLATED)),
    "zip in a tar": content(lambda: tarred({"img.zip": zipped(FILES)})),
    "zip in a tar.gz": content(lambda: tarred({"img.zip": zipped(FILES)}, "w:gz")),
    "npy in a tar.gz": content(lambda: tarred({"faces.npy": saved(np.save, PIXELS)}, "w:gz")),
    "npy in a deflated zip": content(lambda: zipped({"faces.npy": saved(np.save, PIXELS), "readme.txt": b"1"})),
    "npz in a zip": content(lambda: zipped({"a/faces.npz": saved(np.savez, PIXELS)}, STORED)),
    "hdf5 in a zip": lambda path: content(lambda: zipped({"f.h5": hdf5(group)(path).read_bytes()}))(path),
    "parquet in a tar": lambda path: content(lambda: tarred({"f.parquet": table(path).read_bytes()}))(path),
    "Drive's parts": parts,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_container_gives_the_same_pixels(tmp_path: Path, form: str) -> None:
    images = open_images(FORMS[form](tmp_path / "faces"))
    assert len(images) == len(PIXELS)
    np.testing.assert_array_equal(np.stack([pixels for _, pixels in images]), PIXELS)
    some = images.take([1, 4])
    np.testing.assert_array_equal(np.stack([pixels for _, pixels in some]), PIXELS[[1, 4]])


@pytest.mark.parametrize("form", FORMS)
def test_workers_are_handed_what_they_can_read(tmp_path: Path, form: str) -> None:
    source = open_source(FORMS[form](tmp_path / "faces"))
    chunks = pickle.loads(pickle.dumps(list(source.chunks(source.names))))
    decoded = [np.asarray(outcome.image) for chunk in chunks for _, outcome in chunk.decode()]
    np.testing.assert_array_equal(np.stack(decoded), PIXELS)


@pytest.mark.parametrize("form", [form for form, write in FORMS.items() if write not in (shards, parts)])
def test_a_files_identity_is_its_sha256(tmp_path: Path, form: str) -> None:
    path = FORMS[form](tmp_path / "faces")
    assert open_container(path).identity == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("write", "changed"), [(shards, "data/train-00001-of-00002.parquet"), (parts, None)])
def test_a_folders_identity_follows_every_file(tmp_path: Path, write: Write, changed: str | None) -> None:
    path = write(tmp_path / "faces")
    before = open_container(path).identity
    assert open_container(path).identity == before
    if changed:
        pq.write_table(pq.read_table(path / changed).slice(0, 2), path / changed)
    else:
        make_other = {"img_align_celeba/000003.png": png(PIXELS[0])}
        (path / "celeba-20240101T120000Z-003.zip").write_bytes(zipped(make_other))
    assert open_container(path).identity != before
