"""Zip files that open only stored and deflated members, because Python does not limit what the other methods unpack."""

from __future__ import annotations

import zipfile
from typing import IO, Any


class PlainZip(zipfile.ZipFile):
    """A :class:`zipfile.ZipFile` for reading that opens only stored and deflated members.

    For bzip2, LZMA and Zstandard, :mod:`zipfile` unpacks all the bytes that it has read, whatever size the member
    claims. A kilobyte can become gigabytes in memory.
    """

    def open(self, name: str | zipfile.ZipInfo, *arguments: Any, **options: Any) -> IO[bytes]:
        """Open a member.

        Raises:
            NotImplementedError: The member is compressed by another method than deflate.
        """
        entry = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError(f"{entry.filename!r} is compressed by another method than deflate")
        return super().open(name, *arguments, **options)
