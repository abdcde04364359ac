"""scripts/bench/fuzz.py and mutants.py: what fuzzing has found stays mended, and both see what they look for."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def targets(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("fuzz_targets")


@pytest.fixture(scope="module")
def mutations(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("fuzz_mutations")


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


def described(kind: str = "'<f8'", shape: str = "(2, 3)", order: str = "False", data: bytes = b"\0" * 48) -> bytes:
    return npy(f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}", data)


def with_pax(records: bytes) -> bytes:
    """A tar of one member behind an extended header of these bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, data in (("x", tarfile.XHDTYPE, records), ("1.png", tarfile.REGTYPE, b"x")):
            header = tarfile.TarInfo(name)
            header.type, header.size = kind, len(data)
            tar.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


#: Inputs that broke something: the target, and the bytes that are left of what did.
CASES: dict[str, tuple[str, bytes]] = {
    "a pax record without a length, after a whole one, was read for ever": (
        "submission_tar",
        with_pax(b"12 charset=\n" + b"9" * 25 + b" x=y\n"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_found_is_read_or_refused_in_words(targets: ModuleType, tmp_path: Path, case: str) -> None:
    name, data = CASES[case]
    target = targets.TARGETS.get(name)
    if target is None:
        pytest.skip(f"what {name} reads is not installed")
    target.seeds(tmp_path)  # the files beside it
    with suppress(target.expected):
        target.check(data, tmp_path)


def test_each_target_reads_a_whole_file(targets: ModuleType, tmp_path: Path) -> None:
    for name, target in targets.TARGETS.items():
        folder = tmp_path / name
        folder.mkdir()
        target.check(target.seeds(folder)[0], folder)


def test_tar_headers_have_their_sums_again(mutations: ModuleType) -> None:
    tar = with_pax(b"12 charset=\n")
    altered = tar.replace(b"1.png", b"2.png")
    with tarfile.open(fileobj=io.BytesIO(mutations.with_tar_sums(altered))) as read:
        assert read.getnames() == ["2.png"]


def test_an_altered_member_keeps_its_crc(mutations: ModuleType) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"x" * 100)
    mutate = mutations.of_members(lambda _, data: data[1:])
    found = set()
    for seed in range(10):
        with zipfile.ZipFile(io.BytesIO(mutate(random.Random(seed), buffer.getvalue()))) as archive:
            assert archive.testzip() is None
            found |= {len(archive.read(name)) for name in archive.namelist()}
    assert 99 in found


MODULE = """
def share(a: int, b: int = 2) -> float:
    if a < b and not b:
        raise ValueError(f"{a + b} is 1 of 2")
    return a * 0.5
"""


def test_a_mutant_has_one_place_altered_and_no_message(
    bench: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants = bench("mutants")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "shares.py"
    path.write_text(MODULE, encoding="utf-8")
    found = {mutant.what.partition("  →  ")[2] for mutant in mutants.mutants_of(path)}
    assert {"3", "a < b or not b", "a <= b", "not not b", "a / 0.5", "0.76"} <= found
    assert not any("of 2" in what and "ValueError(" not in what for what in found)
