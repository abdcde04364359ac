"""The members of a tar stream, read block by block: nothing is extracted, and no header is believed.

Python's ``tarfile`` reads extended headers whole, before its caller sees them (half a megabyte of pax records
costs hundreds), so the few forms that real archives have are read here: POSIX.1-1988 (ustar), POSIX.1-2001 (pax:
``path`` and ``size``), GNU long names, and the older V7 headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from facegen.file_kinds import TAR, kind_of
from facegen.submission.gzipped import GzipStream
from facegen.submission.rules import Code, Limits, Rejection, megabytes, plain_path, shown

BLOCK = 512
_REGULAR, _FOLDER = frozenset(b"\x0007"), ord("5")
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = ord("x"), ord("g"), ord("L"), ord("K")
_KINDS = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a character device",
    ord("4"): "a block device",
    ord("6"): "a named pipe",
    ord("S"): "a sparse file",
}
#: Most bytes of an extended header that are looked at to name what is wrong with it.
_HEADER_READ = 1 << 20


@dataclass(frozen=True)
class TarMember:
    """A file or folder: its plain path, and a file's bytes."""

    path: str
    folder: bool
    data: bytes


@dataclass(frozen=True)
class _Header:
    name: str
    size: int
    kind: int


def read_members(stream: GzipStream, limits: Limits) -> Iterator[TarMember]:
    """The files and folders in ``stream``, in its order; what follows the archive's end is read and checked too.

    Rejections: ``damaged``, ``too_large``, ``too_many_members``, ``unsafe_member``.
    """
    count, long_name, pax = 0, None, None
    while (header := _read_header(stream, first=count == 0)) is not None:
        count += 1
        if header.kind == _PAX and pax is None:
            pax = _pax_records(_extended(stream, header, limits), limits)
            count -= 1  # it belongs to the member that follows; two in a row fall through to the refusal below
            continue
        if header.kind == _GNU_NAME and long_name is None:
            long_name = _text(_extended(stream, header, limits, name=True).rstrip(b"\0"))
            count -= 1
            continue
        if count > limits.members:
            raise Rejection(Code.TOO_MANY_MEMBERS, f"The archive has more than {limits.members:,} members.", limits)
        if header.kind == _PAX_GLOBAL:
            if {"path", "size", "linkpath"} & _pax_records(_extended(stream, header, limits), limits).keys():
                raise Rejection(Code.UNSAFE_MEMBER, "A global header sets every member's path or size.")
            continue
        if header.kind == _GNU_LINK:
            raise Rejection(Code.UNSAFE_MEMBER, "The archive holds a link.")
        if header.kind in (_PAX, _GNU_NAME):
            raise Rejection(Code.DAMAGED, "Two extended headers in a row describe one member.")
        records = pax or {}
        name = records.get("path", long_name if long_name is not None else header.name)
        size = _decimal(records["size"]) if "size" in records else header.size
        long_name = pax = None
        yield _member(stream, name, size, header.kind, limits)
    if pax is not None or long_name is not None:
        raise Rejection(Code.DAMAGED, "The archive ends after an extended header.")


def _member(stream: GzipStream, name: str, size: int, kind: int, limits: Limits) -> TarMember:
    path = plain_path(name, limits)
    folder = kind == _FOLDER or (kind in _REGULAR and name.endswith("/"))
    if not folder and kind not in _REGULAR:
        what = _KINDS.get(kind, f"of the unknown kind {chr(kind)!r}")
        raise Rejection(Code.UNSAFE_MEMBER, f"The member {shown(name)} is {what}, not a plain file.")
    if not folder and not path:
        raise Rejection(Code.UNSAFE_MEMBER, "A member has no name.")
    if size > limits.member_bytes:
        message = f"The member {shown(name)} is larger than {megabytes(limits.member_bytes)}."
        raise Rejection(Code.TOO_LARGE, message, limits)
    return TarMember(path, folder, _contents(stream, size, name))


def _read_header(stream: GzipStream, first: bool) -> _Header | None:
    """The next header; None at the archive's end, after which only zeros may follow."""
    block = stream.read(BLOCK)
    if not block.strip(b"\0"):
        # A whole archive ends in two blocks of zeros; some writers leave them out, and gzip's own length and CRC
        # have shown that nothing is missing.
        while rest := stream.read(1 << 16):
            if rest.strip(b"\0"):
                raise Rejection(Code.DAMAGED, "There is other data after the end of the archive.")
        return None
    if len(block) < BLOCK or not _sum_is_right(block):
        raise Rejection(
            Code.DAMAGED, f"What is compressed is {_likeness(block)}." if first else "The archive has a corrupt header."
        )
    name = _field(block[0:100])
    if block[257:263] == b"ustar\0" and (prefix := _field(block[345:500])):
        name = prefix + b"/" + name
    return _Header(_text(name), _number(block[124:136]), block[156])


def _likeness(block: bytes) -> str:
    kind = kind_of(block)
    return "not a tar archive" if kind is None or kind is TAR else f"{kind.name}, not a tar archive"


def _sum_is_right(block: bytes) -> bool:
    """The header's checksum: its bytes added up, signed or unsigned as writers differ, its own eight as spaces."""
    blanked = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked)
    return _number(block[148:156]) in (sum(blanked), signed)


def _contents(stream: GzipStream, size: int, name: str) -> bytes:
    data = stream.read(size)
    padding = -size % BLOCK
    if len(data) < size or len(stream.read(padding)) < padding:
        raise Rejection(Code.DAMAGED, f"The archive ends in the middle of {shown(name)}.")
    return data


def _extended(stream: GzipStream, header: _Header, limits: Limits, name: bool = False) -> bytes:
    """An extended header's contents. A long name's can be no longer than a name may be."""
    if name and header.size > limits.name_bytes + BLOCK:
        raise Rejection(Code.UNSAFE_MEMBER, f"A member has a name longer than {limits.name_bytes} bytes.")
    if header.size > _HEADER_READ:
        raise Rejection(Code.TOO_LARGE, f"An extended header is larger than {limits.header_bytes >> 10} KiB.", limits)
    return _contents(stream, header.size, header.name)


def _pax_records(data: bytes, limits: Limits) -> dict[str, str]:
    """``length key=value\\n`` records. Only those that decide what a member is are kept; sparse maps are refused."""
    records: dict[str, str] = {}
    start, count, data = 0, 0, data.rstrip(b"\0")
    while start < len(data):
        space = data.find(b" ", start, start + 20)
        length = _decimal(data[start:space].decode("latin-1")) if space > 0 else 0
        record = data[space + 1 : start + length]
        whole = space >= start and space - start < length <= len(data) - start
        if not whole or not record.endswith(b"\n") or b"=" not in record:
            raise Rejection(Code.DAMAGED, "An extended header is corrupt.")
        key, value = record[:-1].split(b"=", 1)
        if key.startswith(b"GNU.sparse."):
            raise Rejection(Code.UNSAFE_MEMBER, "A member is a sparse file, not a plain file.")
        if key == b"path":
            if len(value) > limits.name_bytes:
                raise Rejection(Code.UNSAFE_MEMBER, f"A member has a name longer than {limits.name_bytes} bytes.")
            records["path"] = _text(value)
        elif key in (b"size", b"linkpath"):
            records[key.decode()] = value[:64].decode("latin-1")
        start, count = start + length, count + 1
        if count > limits.header_records:
            message = f"An extended header has more than {limits.header_records} records."
            raise Rejection(Code.TOO_LARGE, message, limits)
    if len(data) > limits.header_bytes:
        raise Rejection(Code.TOO_LARGE, f"An extended header is larger than {limits.header_bytes >> 10} KiB.", limits)
    return records


def _field(raw: bytes) -> bytes:
    return raw.split(b"\0", 1)[0]


def _text(raw: bytes) -> str:
    """Names are UTF-8 today; older writers' bytes are taken as Latin-1, which every byte string is."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _number(raw: bytes) -> int:
    """A header's number: octal digits, or base 256 where the first bit is set (GNU)."""
    if raw[0] == 0x80:
        return int.from_bytes(raw[1:], "big")
    digits = _field(raw).strip()
    if not digits:
        return 0
    if not all(digit in b"01234567" for digit in digits):
        raise Rejection(Code.DAMAGED, "The archive has a corrupt header.")
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Rejection(Code.DAMAGED, "An extended header is corrupt.")
    return int(text)
