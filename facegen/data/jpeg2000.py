"""Count the parts that a JPEG 2000 claims. Its decoder allocates memory for every part before it reads any."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

#: Maximum number of code-blocks or precincts of one picture. Each takes up to half a kilobyte per component, and a tile
#: takes up to ten times as much. The largest photographs that are decoded have 100,000 code-blocks and fewer of the
#: rest.
MOST_PARTS = 250_000
_AS_MANY_AS_A_TILE = 10
#: The marker of sizes (SIZ), which follows the first marker: the picture, its offset, a tile, and its offset.
_SIZ = re.compile(rb"\xff\x4f\xff\x51....(.{32})", re.DOTALL)
#: The markers of coding style, for all components (COD) and for one (COC), in the header of the picture or of a tile.
#: They hold their length, the number of times that the picture is halved, and the powers of two of a code-block's
#: sides, less 2.
_STYLES = (
    (re.compile(rb"\xff\x52(..)[\0-\7]....([\0-\x20])([\0-\x08])([\0-\x08])..", re.DOTALL), 12),
    (re.compile(rb"\xff\x53(..).[\0\1]([\0-\x20])([\0-\x08])([\0-\x08])..", re.DOTALL), 9),
)


def most_parts(data: bytes) -> int:
    """Return the largest number of parts that a component may have, by any marker anywhere in the bytes.

    All bytes are searched, because a few bytes can hide a marker.

    Args:
        data: A JPEG 2000 file.
    """
    return max((parts for siz in _SIZ.finditer(data) for parts in _counts(data, siz[1])), default=0)


def _counts(data: bytes, sizes: bytes) -> Iterator[int]:
    right, bottom, left, top, tile_width, tile_height, _, _ = struct.unpack(">8I", sizes)
    width, height = right - left, bottom - top
    yield _AS_MANY_AS_A_TILE * _fit(width, max(1, tile_width)) * _fit(height, max(1, tile_height))
    for pattern, shortest in _STYLES:
        for style in pattern.finditer(data):
            length, levels = int.from_bytes(style[1], "big"), style[2][0]
            if length == shortest or length == shortest + levels + 1:
                yield _fit(width, 4 << style[3][0]) * _fit(height, 4 << style[4][0])
            if length == shortest + levels + 1:
                powers = data[style.end() : style.end() + levels + 1]  # One byte per resolution, smallest first.
                yield sum(
                    _fit(width, 1 << halvings + (power & 15)) * _fit(height, 1 << halvings + (power >> 4))
                    for halvings, power in enumerate(reversed(powers))
                )


def _fit(length: int, part: int) -> int:
    return -(-length // part)
