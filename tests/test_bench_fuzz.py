"""scripts/bench/fuzz.py and mutants.py: what fuzzing has found stays mended, and both see what they look for."""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest

resource = pytest.importorskip("resource")  # which Windows lacks


@pytest.fixture(scope="module")
def targets(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("fuzz_targets")


@pytest.fixture(scope="module")
def mutations(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("fuzz_mutations")


@pytest.fixture(scope="module")
def mutants(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("mutants")


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


def with_huge_header(kind: bytes) -> bytes:
    """A tar whose first header is an extended one that claims gigabytes."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 3 << 30
    return header.tobuf() + b"\0" * 512


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def in_directory(data: bytes, at: int, value: bytes) -> bytes:
    """A zip with a field of its first entry in the central directory replaced."""
    at += data.index(b"PK\1\2")
    return data[:at] + value + data[at + len(value) :]


def with_metadata(generator: bytes, **replaced: str) -> bytes:
    """A generator's file with other metadata, and without its hash."""
    end = 8 + int.from_bytes(generator[:8], "little")
    header = json.loads(generator[8:end])
    header["__metadata__"] |= replaced
    del header["__metadata__"]["contents_sha256"]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + generator[end:]


def with_fields(score: bytes, **replaced: object) -> bytes:
    return json.dumps({**json.loads(score), **replaced}).encode()


def nameless() -> bytes:
    """A zip whose directory has an entry without a name."""
    data = zipped("x", b"y")
    at = data.index(b"PK\1\2")
    entry, end = data[at : at + 46], data[at + 47 :]
    return data[:at] + entry[:28] + b"\0\0" + entry[30:] + end[:12] + b"\x2e\0\0\0" + end[16:]


@contextmanager
def little_memory() -> Iterator[None]:
    """A gigabyte of address space more than there is: what is claimed and never filled counts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    claimed = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (claimed + (1 << 30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_CUT = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), ")
_TAR = with_pax(b"12 charset=\n")
_FUTURE = in_directory(zipped("mu.npy", described()), 6, b"\x43")
#: Inputs that broke something: the target, and the bytes that are left of what did, made from its first seed.
CASES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a pax record without a length, after a whole one, was read for ever": (
        "submission_tar",
        lambda _: with_pax(b"12 charset=\n" + b"9" * 25 + b" x=y\n"),
    ),
    "NumPy divided by zero, which ends the process": ("statistics", lambda _: described("'|S0'", "(-1,)")),
    "a size of an array that is no integer": ("statistics", lambda _: described("'|S0'", "(True,)", "True")),
    "a size of an array beyond 64 bits": ("statistics", lambda _: described(shape=f"({1 << 63}, 2)")),
    "an array of nothing": ("statistics", lambda _: described(shape="(0,)", data=b"")),
    "a header of an array that is cut off": ("statistics", lambda _: _CUT),
    "a header of images that is cut off": ("arrays", lambda _: _CUT),
    "a header of a dataset's images that is cut off": ("images_npy", lambda _: _CUT),
    "images of a negative size": ("arrays", lambda _: described("'<f4'", "(2, -3, 4)")),
    "images that claim gigabytes each": ("arrays", lambda _: described("'<f4'", f"(2, {1 << 30}, 4)")),
    "a header of an array that claims gigabytes": ("arrays", lambda _: b"\x93NUMPY\2\0\xff\xff\xff\xff"),
    "an npz of a zip's version to come": ("statistics", lambda _: _FUTURE),
    "weights in a zip of a version to come": ("state_dict", lambda seed: in_directory(seed, 6, b"\x43")),
    "images in a zip of a version to come": ("zip", lambda seed: in_directory(seed, 6, b"\x43")),
    "a zip's member without a name": ("zip", lambda _: nameless()),
    "an image in a zip that claims gigabytes": ("zip", lambda seed: in_directory(seed, 20, b"\xff\xff\xff\x7f" * 2)),
    "a tar in a zip that is none": (
        "zip",
        lambda _: zipped("images.tar", with_pax(b"")[:600].replace(b"ustar", b"us")),
    ),
    "a tar in a tar that is cut off": ("tar", lambda _: with_pax(b"")[:700]),
    "an extended header of gigabytes": ("tar", lambda _: with_huge_header(tarfile.XHDTYPE)),
    "a long name of gigabytes": ("tar", lambda _: with_huge_header(tarfile.GNUTYPE_LONGNAME)),
    "a file of 13 bytes that claims a dictionary of gigabytes": ("compressed_tar", lambda _: b"\0" + b"\xff" * 12),
    "an HDF5 file with an address beyond 63 bits": ("hdf5", lambda seed: seed[:54] + b"\x27\x93" + seed[56:]),
    "a generator whose recipe is a string": ("generator", lambda seed: with_metadata(seed, recipe='"x"')),
    "a generator whose recipe is a list": ("generator", lambda seed: with_metadata(seed, recipe="[]")),
    "a partition with a cell beyond what csv reads": ("partition", lambda _: b'1.jpg,"' + b"x" * 140_000 + b'",0\n'),
    "images without bytes, by which NumPy divided": ("images_npy", lambda _: described("'|S0'", "(4, 4, 4, 3)")),
    "statistics without bytes, by which NumPy divided": ("statistics", lambda _: described("'|S0'", "(4, 3)")),
    "a score with an interval without ends": ("score", lambda seed: with_fields(seed, interval95=[])),
    "a score that is a list": ("score", lambda _: b"[]"),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is limited on Linux alone")
@pytest.mark.parametrize("case", CASES)
def test_what_was_found_is_read_or_refused_in_words(targets: ModuleType, tmp_path: Path, case: str) -> None:
    name, made_of = CASES[case]
    target = targets.TARGETS.get(name)
    if target is None:
        pytest.skip(f"what {name} reads is not installed")
    data = made_of(target.seeds(tmp_path)[0])
    with suppress(target.expected), little_memory():
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
    mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "shares.py"
    path.write_text(MODULE, encoding="utf-8")
    found = {mutant.what.partition("  →  ")[2] for mutant in mutants.mutants_of(path)}
    assert {"3", "a < b or not b", "a <= b", "not not b", "a / 0.5", "0.76"} <= found
    assert not any("of 2" in what and "ValueError(" not in what for what in found)


def test_an_interrupted_run_of_mutants_says_what_was_tried(
    mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ROOT": tmp_path, "_COMMON": (), "signal": Mock()}.items():
        monkeypatch.setattr(mutants, name, value)
    monkeypatch.setattr(mutants, "passes", Mock(side_effect=[True, True, False, KeyboardInterrupt]))
    monkeypatch.setattr(sys, "argv", ["mutants.py", "part"])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facegen" / "part").mkdir(parents=True)
    (tmp_path / "facegen" / "part" / "shares.py").write_text(MODULE, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        mutants.main()
    assert ended.value.code == 130
    survivor, total = capsys.readouterr().out.splitlines()
    assert survivor == "shares.py:2  2  →  3"
    assert " 2 tried, 1 killed, 1 survived, in" in total and total.endswith("seconds, interrupted.")
