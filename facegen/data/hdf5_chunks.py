"""Check the chunks of an HDF5 dataset. HDF5 unpacks each chunk fully, whatever the dataset's shape says."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

from facegen.data.caps import LARGEST_IMAGE
from facegen.errors import InputError

#: HDF5's numbers of the filters deflate and Fletcher-32.
_DEFLATE, _FLETCHER32 = 1, 3
#: The highest ratio that deflate can reach.
_DEFLATE_RATIO = 1032
#: Allowance in bytes for checksums and for the headers of other filters in a chunk.
_BESIDE = 4096
_PIECE = 1 << 20


def require_honest_chunks(item: Any, path: Path) -> None:
    """Check chunks that are packed so tightly that they could be decompression bombs, before HDF5 unpacks them.

    Args:
        item: An h5py dataset.
        path: The file that holds it.

    Raises:
        InputError: A chunk has more bytes than its shape allows, or it is packed more than once.
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
            f"{item.name} in {path} is packed by deflate and then packed again, which no program does to images.",
            "Store it again with h5repack -f GZIP=6.",
        )
    if item.id.get_storage_size() * _DEFLATE_RATIO <= LARGEST_IMAGE:
        return
    most = math.prod(item.chunks) * item.dtype.itemsize + _BESIDE
    large: list[tuple[int, ...]] = []

    def look(chunk: Any) -> None:
        is_packed = not chunk.filter_mask >> at & 1
        if chunk.size * _DEFLATE_RATIO > LARGEST_IMAGE and is_packed:
            large.append(chunk.chunk_offset)

    item.id.chunk_iter(look)  # Asking for each chunk by its number takes time that grows with the number's square.
    for place in large:
        if _is_longer(item.id.read_direct_chunk(place)[1], most):
            raise InputError(
                f"A chunk of {item.name} in {path} has more bytes than its shape {list(item.chunks)} allows: it is "
                "damaged, or a decompression bomb.",
                "Download or copy it again in full, or use another file.",
            )


def _is_longer(packed: bytes, most: int) -> bool:
    """Return whether more than ``most`` bytes come out. HDF5 itself reports damage."""
    inflate, length = zlib.decompressobj(), 0
    try:
        while packed and not inflate.eof and length <= most:
            length += len(inflate.decompress(packed, _PIECE))
            packed = inflate.unconsumed_tail
    except zlib.error:
        return False
    return length > most
