"""A zip's members are unpacked as far as they claim to go, and no further."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

import facegen
from facegen.plain_zip import PlainZip


def written(method: int) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a", b"b" * 1000)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_members_are_read(method: int) -> None:
    with PlainZip(written(method)) as archive:
        assert archive.read("a") == b"b" * 1000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_unpacked_without_a_bound_is_not_opened(method: int) -> None:
    with PlainZip(written(method)) as archive, pytest.raises(NotImplementedError, match="'a' is compressed by another"):
        archive.read("a")


def test_no_other_zip_is_read() -> None:
    folder = Path(facegen.__file__).parent
    sources = [path for path in folder.rglob("*.py") if path.name != "plain_zip.py"]
    opened = re.compile(r'zipfile\.ZipFile\((?![^()]*, "w"\))')  # one that is written holds what we put there
    assert not [path.name for path in sources if opened.search(path.read_text(encoding="utf-8"))]
