"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: with its article, to stand in a sentence: ``"a 7-Zip archive"``.
        family: ``"image"``, ``"archive"``, ``"arrays"``, ``"weights"`` or ``"other"``.
        remedy: what to do where facegen wants something else, a sentence; None where nothing can be said in general.
    """

    name: str
    family: str
    remedy: str | None = None


_UNPACK = "Unpack it and name the folder, or pack it as .zip or .tar.gz."
#: Each kind by how its files start.
_MAGIC: dict[bytes, FileKind] = {
    b"7z\xbc\xaf\x27\x1c": FileKind("a 7-Zip archive", "archive", _UNPACK),
    b"Rar!\x1a\x07": FileKind("a RAR archive", "archive", _UNPACK),
    b"PK\3\4": FileKind("a zip archive", "archive"),
    b"\x1f\x8b": FileKind("a gzip file", "archive"),
    b"\x89PNG\r\n\x1a\n": FileKind("a PNG image", "image"),
    b"\xff\xd8\xff": FileKind("a JPEG image", "image"),
}
#: So many bytes from a file's start are enough to tell.
HEAD = 1024


def kind_of(head: bytes) -> FileKind | None:
    """The kind of the file that starts with ``head``, its first :data:`HEAD` bytes; None where it is no known one."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
