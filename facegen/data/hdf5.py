"""Images in an HDF5 file: one dataset of pixels, one of encoded images, or one dataset per image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from facegen import console
from facegen.data.archives import BytesMember
from facegen.data.arrays import Layout, choose, conversion, in_words, layout_of, looks_like_images, row_names
from facegen.data.caps import LARGEST_IMAGE, require_few, require_proportion
from facegen.data.hdf5_chunks import require_honest_chunks
from facegen.data.hdf5_heaps import require_sound_heaps
from facegen.data.image_names import as_utf8, natural_key
from facegen.data.listing import UnreadableMember
from facegen.data.passed_over import PassedOver
from facegen.errors import EnvironmentProblem, InputError
from facegen.file_kinds import DOWNLOAD_AGAIN, HEAD, kind_of
from facegen.files import open_regular, sha256_file
from facegen.printable import printable as shown

#: Number of rows to read at a time if the dataset has no chunks.
_ROWS = 32

#: Maximum depth of nested groups. HDF5's time grows with the square of the depth.
_DEEPEST = 64

#: Shape and type of datasets, by name.
Arrays = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


class Hdf5:
    """Images in an HDF5 file, read chunk by chunk.

    Three layouts are read. A uint8 dataset [N, H, W, 3] has one image per row. A dataset of bytes has one encoded
    image per row. A group has one dataset per image, which holds the pixels [H, W, 3] or the encoded bytes and gives
    the image its name.
    """

    kind = "hdf5"

    def __init__(self, path: Path) -> None:
        """Find the images.

        Raises:
            InputError: The file is damaged or has no images.
            EnvironmentProblem: h5py is not installed.
        """
        self.path = path
        self._one = ""  # The dataset that holds all images; "" if each image has its own.
        self._layout: Layout | None = None
        with self._open() as file:
            arrays, columns, single = _datasets(file, path, partial(self._require_sound_heaps, file))
            self._tell_of_links(file, bool(arrays or columns or single))
            if len(columns) > 1:
                raise InputError(
                    f"{path} holds several datasets of encoded images: {', '.join(columns[:8])}.",
                    "Save the one you mean to its own file.",
                )
            if len(single) > 1 and not columns and not any(looks_like_images(shape) for shape, _ in arrays.values()):
                names = {as_utf8(name): name for name in single}
            else:
                self._one = columns[0] if len(columns) == 1 else choose({**arrays, **single}, f"{path} (HDF5)")
                if columns == [self._one]:
                    require_few(f"{self._one} in {path}", file[self._one].shape[0])
                    self._require_held(file[self._one])
                    names = {name: name for name in row_names(file[self._one].shape[0])}
                else:
                    self._layout = self._layout_of(file[self._one])
                    names = {name: name for name in row_names(self._layout.count)}
        self._real_names = names
        self.names = sorted(names, key=natural_key)
        self.passed_over = PassedOver()

    def _tell_of_links(self, file: Any, has_others: bool) -> None:
        """Name what lies in other files. They are never opened: a reference can point to any file of this machine."""
        elsewhere = _elsewhere(file)
        if not elsewhere:
            return
        held = ", ".join(f"{shown(name)} ({shown(other)})" for name, other in list(elsewhere.items())[:8])
        message = f"{self.path} refers to other files, which facegen does not open: {held}."
        remedy = "Name that file, or copy its contents into this one."
        if not has_others:
            raise InputError(message, remedy)
        console.warn(f"{message} {remedy}")

    def _layout_of(self, item: Any) -> Layout:
        where = f"{self._one} in the HDF5 file {self.path}"
        numeric = item.dtype.kind in "fiub" and item.dtype != np.uint8 and len(item.shape) > 1 and item.shape[0]
        loaded = f"h5py.File({self.path.name!r})[{self._one!r}][:]"
        remedy = conversion(loaded, f"{self.path.stem}-uint8.npy", item[0] if numeric else None)
        layout = layout_of(item.shape, item.dtype, where, remedy)
        self._require_held(item)
        if layout.note:
            console.info(f"{where}: {layout.note}.")
        return layout

    def _require_held(self, item: Any) -> None:
        """Raise InputError if a dataset, or one of its chunks, claims far more bytes than the file has."""
        require_proportion(f"{item.name} in {self.path}", int(item.nbytes), self.path.stat().st_size)
        chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
        if chunk > LARGEST_IMAGE:
            raise InputError(
                f"{item.name} in {self.path} is stored in chunks of {chunk:,} bytes, too large to read as a whole.",
                "Store it in smaller chunks with h5repack, for example of 32 images.",
            )

    def _require_sound_heaps(self, file: Any) -> None:
        with open_regular(self.path) as stream:
            require_sound_heaps(stream, file.id.get_create_plist().get_sizes()[1])

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import h5py
        except ImportError as problem:
            raise EnvironmentProblem(
                f"Reading {self.path} needs h5py.", "Install it: pip install 'facegen[hdf5]'"
            ) from problem
        try:
            with open_regular(self.path) as stream, h5py.File(stream, "r") as file:
                yield file
        except (OSError, RuntimeError, KeyError, ValueError) as problem:  # ValueError: an offset beyond 63 bits.
            words = str(problem).strip().rstrip(".")[:200] or type(problem).__name__
            raise InputError(f"{self.path} is a truncated or damaged HDF5 file: {words}.", DOWNLOAD_AGAIN) from problem

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[BytesMember | UnreadableMember]:
        with self._open() as file:
            if self._one:
                yield from self._rows(file[self._one], names)
                return
            for name in names:
                item = file[self._real_names[name]]
                if item.nbytes > LARGEST_IMAGE:
                    yield UnreadableMember(name, f"{item.nbytes:,} bytes, too large for an image")
                    continue
                self._require_held(item)
                yield BytesMember(name, _encode(item[()], f"{item.name} in {self.path}"))

    def _rows(self, item: Any, names: Sequence[str]) -> Iterator[BytesMember]:
        """Yield rows of a dataset. The rows of one chunk are read together, because HDF5 decompresses whole chunks."""
        step = item.chunks[0] if item.chunks and self._layout else _ROWS
        begin, block = -1, None
        for name in names:
            row = int(name)
            if block is None or row // step * step != begin:
                begin = row // step * step
                block = item[begin : begin + step]
            cell = block[row - begin]
            data = self._layout.encode(np.ascontiguousarray(cell)) if self._layout else _bytes_of(cell)
            yield BytesMember(name, data)


def _datasets(file: Any, path: Path, require_sound_heaps: Callable[[], None]) -> tuple[Arrays, list[str], Arrays]:
    """Return a file's datasets: the arrays, the columns of encoded images, and those that hold one image each.

    The chunks of all datasets are checked before any value is read, because one dataset can refer to others.
    ``require_sound_heaps`` is called once, before the first value in a heap is read.
    """
    import h5py

    def look_at_chunks(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):  # h5py returns a name that it cannot decode as bytes.
            raise InputError(
                f"{path} has a name that is not UTF-8: {shown(repr(name))[:80]}.", "Rename its groups and datasets."
            )
        if name.count("/") > _DEEPEST:
            raise InputError(f"{path} nests groups more than {_DEEPEST} deep.", "Keep the images in one group.")
        if isinstance(item, h5py.Dataset):
            require_honest_chunks(item, path)

    file.visititems(look_at_chunks)
    sound = False
    arrays: Arrays = {}
    columns: list[str] = []
    single: Arrays = {}

    def look(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None or _other_file(item) is not None:
            return
        nonlocal sound
        shape, dtype = item.shape, item.dtype
        if not sound and dtype.hasobject:
            require_sound_heaps()
            sound = True
        if _is_column(item):
            columns.append(name)
        elif _is_single(item):
            single[name] = shape, dtype
        else:
            arrays[name] = shape, dtype

    file.visititems(look)
    return arrays, columns, single


def _other_file(item: Any) -> str | None:
    """Return the first other file that holds values of a dataset, or None if they are all in its own file."""
    if item.is_virtual:
        names = [source.file_name for source in item.virtual_sources()]
        return next((name for name in names if name != "."), None)
    return str(item.external[0][0]) if item.external else None


def _elsewhere(file: Any) -> dict[str, str]:
    """Return what lies in other files, and in which: external links, external storage and virtual datasets."""
    import h5py

    found: dict[str, str] = {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            for key in item:
                link = item.get(key, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    found[f"{name}/{key}".lstrip("/")] = link.filename
        elif isinstance(item, h5py.Dataset) and (other := _other_file(item)) is not None:
            found[name] = other

    look("", file)
    file.visititems(look)
    return found


def _is_picture(shape: Sequence[int]) -> bool:
    """Return whether this is the shape of one image, [H, W, C]."""
    return len(shape) == 3 and shape[2] in (1, 3, 4)


def _is_single(item: Any) -> bool:
    """Return whether a dataset holds one image, as pixels or as encoded bytes."""
    if item.dtype == np.uint8:
        return _is_picture(item.shape) or (len(item.shape) == 1 and _has_image(_bytes_of(item[:HEAD])))
    return item.dtype.kind == "V" and item.shape == () and _has_image(_bytes_of(item[()]))


def _is_column(item: Any) -> bool:
    """Return whether each cell holds the bytes of one encoded image: vlen uint8, byte strings or opaque data."""
    import h5py

    kinds = item.dtype.kind in "SV" or h5py.check_vlen_dtype(item.dtype) == np.uint8
    text = h5py.check_string_dtype(item.dtype) is not None
    return len(item.shape) == 1 and item.shape[0] > 0 and (kinds or text) and _has_image(_bytes_of(item[0]))


def _has_image(data: bytes) -> bool:
    kind = kind_of(data[:HEAD])
    return kind is not None and kind.family == "image"


def _bytes_of(cell: Any) -> bytes:
    """Return the bytes in a cell."""
    if isinstance(cell, bytes):
        return cell
    return np.asarray(cell).tobytes()


def _encode(value: Any, where: str) -> bytes:
    """Return the image file of one image. Pixels are encoded; bytes are an image file already."""
    pixels = np.asarray(value)
    if pixels.ndim != 3:
        return _bytes_of(value)
    if pixels.dtype != np.uint8:
        raise InputError(
            f"{where} is {in_words(pixels.shape, pixels.dtype)}, not uint8 [H, W, 3].", "Save every image as uint8."
        )
    return Layout(1, pixels.shape).encode(np.ascontiguousarray(pixels))
