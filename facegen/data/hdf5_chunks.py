"""The chunks of an HDF5 dataset: HDF5 unpacks each as far as it goes, whatever the dataset's shape says."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

from facegen.data.caps import LARGEST_IMAGE
from facegen.errors import InputError

#: HDF5's numbers of the filters deflate and Fletcher-32.
_DEFLATE, _FLETCHER32 = 1, 3
#: Deflate packs no better.
_DEFLATE_RATIO = 1032
#: Bytes beside a chunk's own: checksums, and the heads of other filters.
_BESIDE = 4096
_PIECE = 1 << 20


def require_honest_chunks(item: Any, path: Path) -> None:
    """Read and compare what is packed so small that it might be a bomb, before HDF5 unpacks it.

    Args:
        item: a dataset of h5py's.
        path: its file.

    Raises:
        InputError: a chunk has more bytes than the dataset's shape says, or it is packed more than once.
    """
    if not item.chunks:
        return
    properties = item.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    if _DEFLATE not in filters:
        return
    at = filters.index(_DEFLATE)
    if not {*filters[at + 1 :]} <= {_FLETCHER32}:
        raise InputError(
            f"{item.name} in {path} is packed by deflate and then by something else, as no program packs images.",
            "Store it with h5repack -f GZIP=6.",
        )
    if item.id.get_storage_size() * _DEFLATE_RATIO <= LARGEST_IMAGE:
        return
    most = math.prod(item.chunks) * item.dtype.itemsize + _BESIDE
    large: list[tuple[int, ...]] = []

    def look(chunk: Any) -> None:
        is_packed = not chunk.filter_mask >> at & 1
        if chunk.size * _DEFLATE_RATIO > LARGEST_IMAGE and is_packed:
            large.append(chunk.chunk_offset)

    item.id.chunk_iter(look)  # to ask for each by its number takes a time that goes with their number squared
    for place in large:
        if _is_longer(item.id.read_direct_chunk(place)[1], most):
            raise InputError(
                f"A chunk of {item.name} in {path} has more bytes than its shape {list(item.chunks)}: it is damaged, "
                "or a decompression bomb.",
                "Download or copy it again, whole, or take another.",
            )


def _is_longer(packed: bytes, most: int) -> bool:
    """Whether more than ``most`` bytes come out. Damage is told by HDF5 itself."""
    inflate, length = zlib.decompressobj(), 0
    try:
        while packed and not inflate.eof and length <= most:
            length += len(inflate.decompress(packed, _PIECE))
            packed = inflate.unconsumed_tail
    except zlib.error:
        return False
    return length > most
