"""Reads the members of a tar stream block by block. Nothing is extracted, and no header is trusted.

Python's ``tarfile`` is not used: it reads extended headers whole before its caller sees them, and half a megabyte of
pax records costs hundreds of megabytes. This module reads the few forms that real archives have: POSIX.1-1988 (ustar),
POSIX.1-2001 (pax: ``path`` and ``size``), GNU long names, and the older V7 headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from facegen.file_kinds import TAR, kind_of
from facegen.language import Message, mark, translate
from facegen.submission.gzipped import GzipStream
from facegen.submission.rules import Code, Limits, Rejection, megabytes, plain_path, shown

BLOCK = 512
_REGULAR, _FOLDER = frozenset(b"\x0007"), ord("5")
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = ord("x"), ord("g"), ord("L"), ord("K")
#: The kinds of member that are refused, as messages name them.
_KINDS = {
    ord("1"): mark("a hard link"),
    ord("2"): mark("a symbolic link"),
    ord("3"): mark("a character device"),
    ord("4"): mark("a block device"),
    ord("6"): mark("a named pipe"),
    ord("S"): mark("a sparse file"),
}
#: Largest extended header that is read to say what is wrong with it, in bytes. A larger one is refused unread.
_HEADER_READ = 1 << 20


@dataclass(frozen=True)
class TarMember:
    """A file or folder of the archive: its plain path, and the bytes of a file."""

    path: str
    folder: bool
    data: bytes


@dataclass(frozen=True)
class _Header:
    name: str
    size: int
    kind: int


def read_members(stream: GzipStream, limits: Limits) -> Iterator[TarMember]:
    """Yield the files and folders of a tar stream, in its order.

    The bytes after the end of the archive are read and checked too.

    Raises:
        Rejection: ``damaged``, ``too_large``, ``too_many_members`` or ``unsafe_member``.
    """
    count, long_name, pax = 0, None, None
    while (header := _read_header(stream, first=count == 0)) is not None:
        count += 1
        if header.kind == _PAX and pax is None:
            pax = _pax_records(_extended(stream, header, limits), limits)
            count -= 1  # it belongs to the next member; a second one in a row is refused below
            continue
        if header.kind == _GNU_NAME and long_name is None:
            long_name = _text(_extended(stream, header, limits, name=True).rstrip(b"\0"))
            count -= 1
            continue
        if count > limits.members:
            message = translate("The archive has more than {most:,} members.", most=limits.members)
            raise Rejection(Code.TOO_MANY_MEMBERS, message, limits)
        if header.kind == _PAX_GLOBAL:
            if {"path", "size", "linkpath"} & _pax_records(_extended(stream, header, limits), limits).keys():
                message = translate("A global header sets the path or size of every member.")
                raise Rejection(Code.UNSAFE_MEMBER, message)
            continue
        if header.kind == _GNU_LINK:
            raise Rejection(Code.UNSAFE_MEMBER, translate("The archive holds a link."))
        if header.kind in (_PAX, _GNU_NAME):
            raise Rejection(Code.DAMAGED, translate("Two extended headers in a row describe one member."))
        records = pax or {}
        name = records.get("path", long_name if long_name is not None else header.name)
        size = _decimal(records["size"]) if "size" in records else header.size
        long_name = pax = None
        yield _member(stream, name, size, header.kind, limits)
    if pax is not None or long_name is not None:
        raise Rejection(Code.DAMAGED, translate("The archive ends after an extended header."))


def _member(stream: GzipStream, name: str, size: int, kind: int, limits: Limits) -> TarMember:
    path = plain_path(name, limits)
    folder = kind == _FOLDER or (kind in _REGULAR and name.endswith("/"))
    if not folder and kind not in _REGULAR:
        known = _KINDS.get(kind)
        what = translate("of the unknown kind {kind}", kind=repr(chr(kind))) if known is None else translate(known)
        message = translate("The member {name} is {kind}, not a plain file.", name=shown(name), kind=what)
        raise Rejection(Code.UNSAFE_MEMBER, message)
    if not folder and not path:
        raise Rejection(Code.UNSAFE_MEMBER, translate("A member has no name."))
    if size > limits.member_bytes:
        most = megabytes(limits.member_bytes)
        message = translate("The member {name} is larger than {most}.", name=shown(name), most=most)
        raise Rejection(Code.TOO_LARGE, message, limits)
    return TarMember(path, folder, _contents(stream, size, name))


def _read_header(stream: GzipStream, first: bool) -> _Header | None:
    """Return the next header, or None at the end of the archive. Only zeros may follow the end."""
    block = stream.read(BLOCK)
    if not block.strip(b"\0"):
        # A complete archive ends in two blocks of zeros. Some writers leave them out. Nothing is missing then either,
        # because gzip has its own length and CRC.
        while rest := stream.read(1 << 16):
            if rest.strip(b"\0"):
                raise Rejection(Code.DAMAGED, translate("There is other data after the end of the archive."))
        return None
    if len(block) < BLOCK or not _sum_is_right(block):
        raise Rejection(Code.DAMAGED, _not_tar(block) if first else translate("The archive has a corrupt header."))
    name = _field(block[0:100])
    if block[257:263] == b"ustar\0" and (prefix := _field(block[345:500])):
        name = prefix + b"/" + name
    return _Header(_text(name), _number(block[124:136]), block[156])


def _not_tar(block: bytes) -> Message:
    kind = kind_of(block)
    if kind is None or kind is TAR:
        return translate("The compressed data is not a tar archive.")
    return translate("The compressed data is {kind}, not a tar archive.", kind=translate(kind.name))


def _sum_is_right(block: bytes) -> bool:
    """Return whether the header's checksum is right: the sum of its bytes, with its own eight bytes taken as spaces.

    Some writers add up signed bytes, others unsigned ones.
    """
    blanked = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked)
    return _number(block[148:156]) in (sum(blanked), signed)


def _contents(stream: GzipStream, size: int, name: str) -> bytes:
    data = stream.read(size)
    padding = -size % BLOCK
    if len(data) < size or len(stream.read(padding)) < padding:
        raise Rejection(Code.DAMAGED, translate("The archive ends in the middle of {name}.", name=shown(name)))
    return data


def _extended(stream: GzipStream, header: _Header, limits: Limits, name: bool = False) -> bytes:
    """Return the contents of an extended header. With ``name``, it holds a long name, which has a cap of its own."""
    if name and header.size > limits.name_bytes + BLOCK:
        raise _long_name(limits)
    if header.size > _HEADER_READ:
        raise _large_header(limits)
    return _contents(stream, header.size, header.name)


def _pax_records(data: bytes, limits: Limits) -> dict[str, str]:
    """Parse the records ``length key=value\\n`` of an extended header.

    Only the records that decide what a member is are kept. Sparse maps are refused.
    """
    records: dict[str, str] = {}
    start, count, data = 0, 0, data.rstrip(b"\0")
    while start < len(data):
        space = data.find(b" ", start, start + 20)
        length = _decimal(data[start:space].decode("latin-1")) if space > 0 else 0
        record = data[space + 1 : start + length]
        whole = space >= start and space - start < length <= len(data) - start
        if not whole or not record.endswith(b"\n") or b"=" not in record:
            raise Rejection(Code.DAMAGED, translate("An extended header is corrupt."))
        key, value = record[:-1].split(b"=", 1)
        if key.startswith(b"GNU.sparse."):
            raise Rejection(Code.UNSAFE_MEMBER, translate("A member is a sparse file, not a plain file."))
        if key == b"path":
            if len(value) > limits.name_bytes:
                raise _long_name(limits)
            records["path"] = _text(value)
        elif key in (b"size", b"linkpath"):
            records[key.decode()] = value[:64].decode("latin-1")
        start, count = start + length, count + 1
        if count > limits.header_records:
            message = translate("An extended header has more than {most} records.", most=limits.header_records)
            raise Rejection(Code.TOO_LARGE, message, limits)
    if len(data) > limits.header_bytes:
        raise _large_header(limits)
    return records


def _long_name(limits: Limits) -> Rejection:
    message = translate("A member has a name longer than {most} bytes.", most=limits.name_bytes)
    return Rejection(Code.UNSAFE_MEMBER, message)


def _large_header(limits: Limits) -> Rejection:
    message = translate("An extended header is larger than {most} KiB.", most=limits.header_bytes >> 10)
    return Rejection(Code.TOO_LARGE, message, limits)


def _field(raw: bytes) -> bytes:
    return raw.split(b"\0", 1)[0]


def _text(raw: bytes) -> str:
    """Decode a name: as UTF-8, or as Latin-1 where an older writer wrote other bytes. Every byte string is Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _number(raw: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 where the first bit is set (GNU)."""
    if raw[0] == 0x80:
        return int.from_bytes(raw[1:], "big")
    digits = _field(raw).strip()
    if not digits:
        return 0
    if not all(digit in b"01234567" for digit in digits):
        raise Rejection(Code.DAMAGED, translate("The archive has a corrupt header."))
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Rejection(Code.DAMAGED, translate("An extended header is corrupt."))
    return int(text)
