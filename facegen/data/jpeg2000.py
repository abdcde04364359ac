"""What a JPEG 2000 claims to be divided into: its decoder takes memory for every part before it reads any."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

#: Code-blocks or precincts of one picture. Each takes up to half a kilobyte for a component, and a tile as much as ten.
#: Photographs of the most pixels that are decoded have 100,000 code-blocks, and fewer of the others.
MOST_PARTS = 250_000
_AS_MANY_AS_A_TILE = 10
#: The marker of sizes (SIZ), behind that of the beginning: of the picture, its place, a tile, and its place.
_SIZ = re.compile(rb"\xff\x4f\xff\x51....(.{32})", re.DOTALL)
#: The markers of coding style, of all components (COD) and of one (COC), in the head of the picture or of a tile: how
#: long they are; how many times the picture is halved; the powers of two of a code-block's sides, less 2.
_STYLES = (
    (re.compile(rb"\xff\x52(..)[\0-\7]....([\0-\x20])([\0-\x08])([\0-\x08])..", re.DOTALL), 12),
    (re.compile(rb"\xff\x53(..).[\0\1]([\0-\x20])([\0-\x08])([\0-\x08])..", re.DOTALL), 9),
)


def most_parts(data: bytes) -> int:
    """How many parts a component may have, by every marker that the bytes have anywhere: a few bytes can hide it.

    Args:
        data: a JPEG 2000 file.
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
                powers = data[style.end() : style.end() + levels + 1]  # of each resolution, the smallest first
                yield sum(
                    _fit(width, 1 << halvings + (power & 15)) * _fit(height, 1 << halvings + (power >> 4))
                    for halvings, power in enumerate(reversed(powers))
                )


def _fit(length: int, part: int) -> int:
    return -(-length // part)
