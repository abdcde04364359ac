"""Alter bytes as damage and malice do, and repair them so that the deep code of a parser is reached.

A mutation is a function of a random generator and bytes. A repair corrects what a parser compares first, such as a
checksum or a length, so that the parser reads on into the altered bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Numbers at which sizes, counts and signs turn over.
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 511, 512, 32767, 32768, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31)
NUMBERS += ((1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
#: Values, as JSON, that a field of JSON or TOML should not have.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 64, 10**6, 10**9, 2**31, 2**63, 2**64, 10**30, -(2**63), 0.5, -0.0),
    *(1e308, 1e-320, float("inf"), float("-inf"), float("nan")),
    *("", " ", "0", "nan", "1e999", "x", "\ud800", "é\u202e\n\0", "../../x", "/dev/zero", "F64", "I64", "U8"),
    *([], [0], [1, 2], [[]], [None], ["x"], [1e400], {}, {"": 0}, {"a": {"b": []}}, [0] * 300, "x" * 5000),
)
_TOML = (
    *("true", "nan", "inf", "-1", "0", "1e400", "9" * 30, '""', "'x'", "[]", "[1, 2, 3]", "[[1]]", "{}", "{a = 1}"),
    *("1979-05-27", "1979-05-27T07:32:00Z", "0x10", '"\\u0000"', '"\\U0010ffff"', "[0.1, nan]", '"""', "[a.b.c]"),
    *(
        "[" * 3000,
        "x." * 3000 + "y = 1\n",
        '"x" = 1\n',
        "[[run]]\n",
        "[train]\n",
        "= 1\n",
        "[",
        "]",
        "#",
        "\r",
        "\ufeff",
    ),
)


def of_bytes(random_: random.Random, data: bytes) -> bytes:
    """Apply one to eight alterations to any file: bits, bytes, numbers, and spans cut, doubled, moved or filled."""
    altered = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 3, 5, 8))):
        at = random_.randrange(len(altered) + 1)
        span = random_.choice((1, 2, 4, 8, 16, 64, 512, 4096))
        match random_.randrange(9):
            case 0 if altered:
                altered[at - 1] ^= 1 << random_.randrange(8)
            case 1 if altered:
                altered[at - 1] = random_.randrange(256)
            case 2 | 3:
                width = random_.choice((1, 2, 4, 8))
                altered[at : at + width] = _number(random_, width)
            case 4:
                del altered[at : at + span]
            case 5:
                altered[at:at] = altered[at : at + span]
            case 6:
                to = random_.randrange(len(altered) + 1)
                altered[to : to + span] = altered[at : at + span]
            case 7:
                altered[at : at + span] = random_.choice((b"\0", b"\xff", b"9", b" ", b"/")) * span
            case 8 if random_.randrange(4) == 0:
                del altered[at:]
    return bytes(altered)


def _number(random_: random.Random, width: int) -> bytes:
    number = random_.choice(NUMBERS) if random_.randrange(2) else random_.getrandbits(8 * width)
    return (number % (1 << 8 * width)).to_bytes(width, random_.choice(("little", "big")))


def of_fields(*marks: bytes, reach: int = 64) -> Mutation:
    """Put numbers into the headers that begin with one of ``marks``, within ``reach`` bytes of the mark."""

    def mutate(random_: random.Random, data: bytes) -> bytes:
        places = [at for mark in marks for at in _places(data, mark)]
        if not places:
            return of_bytes(random_, data)
        altered = bytearray(data)
        for _ in range(random_.choice((1, 1, 2, 4))):
            at = random_.choice(places) + random_.randrange(reach)
            width = random_.choice((1, 2, 2, 4, 4, 8))
            altered[at : at + width] = _number(random_, width)
        return bytes(altered)

    return mutate


def _places(data: bytes, mark: bytes) -> list[int]:
    places, at = [], data.find(mark)
    while at >= 0:
        places.append(at)
        at = data.find(mark, at + 1)
    return places


def of_tar(random_: random.Random, data: bytes) -> bytes:
    """Alter tar headers field by field (names, sizes, kinds, prefixes), or move headers."""
    altered = bytearray(data)
    headers = [at - 257 for at in _places(data, b"ustar") if 257 <= at <= len(data) - 255]
    if not headers:
        return of_bytes(random_, data)
    for _ in range(random_.choice((1, 1, 2, 3))):
        at = random_.choice(headers)
        match random_.randrange(7):
            case 0:
                altered[at + 156] = random_.choice(b"\x000123456789LKxgSXNVMDA\xff")
            case 1:
                size = random_.choice(
                    (
                        b"%011o\0" % random_.choice((0, 1, 511, 512, 513, 1 << 20, 1 << 32)),
                        b"\x80" + random_.choice(NUMBERS).to_bytes(11, "big"),
                        b"\xff" * 12,
                        b"-1\0",
                        b" " * 12,
                        b"77777777777 ",
                        b"0x10\0",
                    )
                )
                altered[at + 124 : at + 124 + len(size)] = size
            case 2:
                name = random_.choice(
                    (
                        b"../../up",
                        b"/abs",
                        b"C:\\x",
                        b"a/b/c/d.png",
                        b"\xff\xfe\x80.png",
                        b"",
                        b"\xe2\x80\xae.png",
                        b"CON",
                        b"a" * 100,
                        b"1.PNG",
                        b"./1.png",
                        b".DS_Store",
                    )
                )
                altered[at : at + 100] = name.ljust(100, b"\0")
            case 3:
                altered[at + 345 : at + 500] = random_.randbytes(random_.choice((1, 8, 155))).ljust(155, b"\0")
            case 4:
                records = _pax(random_)
                header = bytearray(altered[at : at + 512])
                header[156:157], header[124:136] = random_.choice((b"x", b"g", b"L", b"K")), b"%011o\0" % len(records)
                altered[at:at] = header + records.ljust(-(-len(records) // 512) * 512, b"\0")
                headers = [at - 257 for at in _places(bytes(altered), b"ustar") if 257 <= at <= len(altered) - 255]
            case 5:
                altered[at : at + 512] = altered[(other := random_.choice(headers)) : other + 512]
            case 6:
                return of_bytes(random_, bytes(altered))
    return bytes(altered)


def _pax(random_: random.Random) -> bytes:
    records = b""
    for _ in range(random_.choice((1, 1, 2, 5))):
        key = random_.choice(
            (b"path", b"size", b"linkpath", b"GNU.sparse.major", b"mtime", b"", b"comment", b"charset")
        )
        value = random_.choice(
            (b"", b"0", b"-1", b"9" * 30, b"../x", b"x" * 300, b"\xff\x80", b"1e3", b"512", b"1.png")
        )
        body = b" " + key + random_.choice((b"=", b"=", b"=", b"", b"==")) + value + random_.choice((b"\n", b"\n", b""))
        length = len(body) + len(str(len(body) + 2))
        records += random_.choice((b"%d" % length, b"%d" % length, b"0", b"-5", b"9" * 25, b"")) + body
    return random_.choice((records, records, records * 200, of_bytes(random_, records)))


def of_json(random_: random.Random, data: bytes) -> bytes:
    """Replace, remove, rename or wrap one to three values of a JSON text, or alter its bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(random_, data)
    match random_.randrange(10):
        case 0:
            return of_bytes(random_, data)
        case 1:
            return random_.choice((b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"null", b"9" * 5000, b"[]"))
    for _ in range(random_.choice((1, 1, 2, 3))):
        value = _altered(random_, value)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _altered(random_: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random_.randrange(12):
        key = random_.choice(list(value))
        match random_.randrange(8):
            case 0:
                return {each: held for each, held in value.items() if each != key}
            case 1:
                return {**value, random_.choice(("", "x", key + "x", "__metadata__", "\0")): value[key]}
            case _:
                return {**value, key: _altered(random_, value[key])}
    if isinstance(value, list) and value and random_.randrange(6):
        at = random_.randrange(len(value))
        return [*value[:at], _altered(random_, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and random_.randrange(3) == 0:
        # JSON within JSON: a generator's metadata holds its recipe this way.
        return of_json(random_, value.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    if isinstance(value, int | float) and not isinstance(value, bool) and random_.randrange(3) == 0:
        return random_.choice((value + 1, -value, value * 2, str(value), [value]))
    return random_.choice(VALUES)


def of_toml(random_: random.Random, data: bytes) -> bytes:
    """Replace values of a TOML text; double, move and remove lines; insert tokens; or alter its bytes."""
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(random_.choice((1, 1, 2, 4))):
        at = random_.randrange(len(lines))
        match random_.randrange(7):
            case 0 | 1 | 2:
                key = lines[at].partition("=")[0]
                lines[at] = f"{key}= {random_.choice(_TOML)}"
            case 3:
                lines.insert(at, random_.choice(lines))
            case 4:
                del lines[at]
                lines = lines or [""]
            case 5:
                lines.insert(at, random_.choice(_TOML))
            case 6:
                return of_bytes(random_, "\n".join(lines).encode("utf-8", "replace"))
    text = "\n".join(lines)
    return text.encode(random_.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1")), "replace")


def of_table(random_: random.Random, data: bytes) -> bytes:
    """Replace the cells of a table of text, double and remove its lines, or alter its bytes."""
    lines = data.split(b"\n")
    for _ in range(random_.choice((1, 2, 4))):
        at = random_.randrange(len(lines))
        match random_.randrange(5):
            case 0 | 1:
                mark = b"," if b"," in lines[at] else b" "
                cells = lines[at].split(mark)
                cells[random_.randrange(len(cells))] = random_.choice(
                    (
                        b"",
                        b'"',
                        b'"a"b',
                        b"\0",
                        b"3",
                        b"-1",
                        b"train",
                        b"\xff",
                        b"x" * 200_000,
                        b"\r",
                        "²".encode(),
                        b"1,2",
                    )
                )
                lines[at] = mark.join(cells)
            case 2:
                lines.insert(at, random_.choice(lines))
            case 3:
                lines[at] = b""
            case 4:
                return of_bytes(random_, b"\n".join(lines))
    return b"\n".join(lines)


def of_safetensors(random_: random.Random, data: bytes) -> bytes:
    """Alter the JSON header and correct its length, or alter bytes of the tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    if end > len(data) or random_.randrange(6) == 0:
        return of_bytes(random_, data)
    header = data[8:end]
    if random_.randrange(3) and b"__metadata__" in header:
        try:
            fields = json.loads(header)
            if random_.randrange(2):  # otherwise the hash gives it away
                fields["__metadata__"].pop("contents_sha256", None)
            if random_.randrange(2):
                fields["__metadata__"] = _altered(random_, fields["__metadata__"])
            header = json.dumps(fields).encode("utf-8", "surrogatepass")
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            header = of_json(random_, header)
    else:
        header = of_json(random_, header)
    return len(header).to_bytes(8, "little") + header + data[end:]


def of_members(inner: Mutation) -> Mutation:
    """Alter a member of a zip with ``inner`` and zip it again with the right CRC, or alter a name or method."""

    def mutate(random_: random.Random, data: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:  # noqa: BLE001 - an altered one may raise anything
            return of_bytes(random_, data)
        if not members:
            return of_bytes(random_, data)
        at = random_.randrange(len(members))
        name, content = members[at]
        match random_.randrange(8):
            case 0:
                members[at] = (random_.choice(("../x", "/x", "", "x" * 300, "a\0b", name.upper(), name + "/")), content)
            case 1:
                members.insert(at, (name, inner(random_, content)))
            case 2:
                del members[at]
            case _:
                members[at] = (name, inner(random_, content))
        buffer = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", random_.choice(_METHODS)) as archive:
            warnings.simplefilter("ignore")  # zipfile warns of two members with one name
            for name, content in members:
                info = zipfile.ZipInfo(name or "x")
                archive.writestr(info, content, archive.compression)
        return buffer.getvalue()

    return mutate


def of_npy(random_: random.Random, data: bytes) -> bytes:
    """Replace the header's shape, type or order with the length corrected, or alter the bytes."""
    if not data.startswith(b"\x93NUMPY") or random_.randrange(4) == 0:
        return of_bytes(random_, data)
    end = 10 + int.from_bytes(data[8:10], "little")
    shape = random_.choice(
        (
            "()",
            "(0,)",
            "(-1,)",
            "(3,)",
            "(2, 3)",
            f"({1 << 40},)",
            f"({1 << 63}, 2)",
            "(2, -3, 4)",
            "'x'",
            "(1.5,)",
            "(None,)",
            "(True,)",
            "(0, 99999999999, 3)",
            "(" + "1, " * 70 + ")",
            "(4, 64, 64, 3)",
            "(2, 2)",
            "[2]",
        )
    )
    kind = random_.choice(
        (
            "'<f8'",
            "'|O'",
            "'<f4'",
            "'|u1'",
            "'>f8'",
            "'<c16'",
            "'<U5'",
            "'|V8'",
            "'<M8[s]'",
            "'|b1'",
            "[('a', '<f8')]",
            "'<f2'",
            "'|S0'",
            "'<i8'",
            "''",
            "None",
            "'<f16'",
            "'x'",
        )
    )
    order = random_.choice(("False", "False", "False", "True", "None", "7"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return data[:6] + b"\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n" + data[end:]


def in_pixels(random_: random.Random, data: bytes) -> bytes:
    """Alter the compressed rows of a PNG and compress them again, or move its chunks, or alter its bytes."""
    chunks = png_chunks(data)
    if not chunks or random_.randrange(3) == 0:
        return of_bytes(random_, data)
    at = random_.randrange(len(chunks))
    kind, body = chunks[at]
    match random_.randrange(6):
        case 0 | 1 if kind == b"IDAT":
            try:
                body = zlib.compress(of_bytes(random_, zlib.decompress(body)))
            except zlib.error:
                body = of_bytes(random_, body)
            chunks[at] = (kind, body)
        case 2:
            chunks.insert(at, random_.choice(chunks))
        case 3:
            kinds = (b"tRNS", b"PLTE", b"iCCP", b"acTL", b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"gAMA", b"fcTL", b"IDAT")
            text = random_.choice((b"", b"x\0\0" + zlib.compress(b"x" * 100_000), random_.randbytes(30), b"\0" * 800))
            chunks.insert(at + 1, (random_.choice(kinds), text))
        case _:
            chunks[at] = (kind, of_bytes(random_, body))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the whole chunks of a PNG, as kind and body."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def with_tar_sums(data: bytes) -> bytes:
    """Correct the checksum of every tar header."""
    summed = bytearray(data)
    for at in range(0, len(summed) - 511, 512):
        if summed[at + 257 : at + 262] == b"ustar":
            summed[at + 148 : at + 156] = b" " * 8
            summed[at + 148 : at + 156] = b"%06o\0 " % (sum(summed[at : at + 512]) & 0o777777)
    return bytes(summed)


def gzipped(data: bytes) -> bytes:
    """Return ``data`` as a gzip file, with the same bytes each time."""
    return gzip.compress(data, 1, mtime=0)


def one_of(*mutations: Mutation) -> Mutation:
    """Return a mutation that picks one of several at random."""
    return lambda random_, data: random_.choice(mutations)(random_, data)


def spliced(random_: random.Random, first: bytes, others: Sequence[bytes]) -> bytes:
    """Join the start of one file and the end of another."""
    other = random_.choice(others)
    return first[: random_.randrange(len(first) + 1)] + other[random_.randrange(len(other) + 1) :]
