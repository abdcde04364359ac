"""Zips of which stored and deflated members alone are opened: what Python unpacks otherwise has no bound."""

from __future__ import annotations

import zipfile
from typing import IO, Any


class PlainZip(zipfile.ZipFile):
    """A zip to be read, as :class:`zipfile.ZipFile`, that opens no member but a stored or deflated one.

    :mod:`zipfile` unpacks bzip2, LZMA and Zstandard as far as the bytes go that it read, whatever size the member
    claims: a kilobyte becomes gigabytes in memory.
    """

    def open(self, name: str | zipfile.ZipInfo, *arguments: Any, **options: Any) -> IO[bytes]:
        """The member's bytes. NotImplementedError where it is compressed by another method than deflate."""
        entry = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError(f"{entry.filename!r} is compressed by another method than deflate")
        return super().open(name, *arguments, **options)
