from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facegen.errors import InputError
from facegen.files import Damaged
from facegen.held_file import HeldFile
from facegen.weights.content import write_safetensors
from facegen.weights.state_dicts import read_hashed_state_dict, read_state_dict, require_honest_zip

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3)}


def test_both_formats_give_names_and_tensors(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.pth")
    save_file(TENSORS, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        (key, tensor), *rest = read_state_dict(tmp_path / name).items()
        assert key == "a.weight" and torch.equal(tensor, TENSORS[key]) and not rest


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html></html>")
    with pytest.raises(InputError, match=rf"{name} is not a file of PyTorch weights \(13 bytes\): it is an HTML page"):
        read_state_dict(tmp_path / name)


class Custom:
    """Of no package that torch.load knows."""


def script(path: Path) -> None:
    """The members that torch.jit.save writes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/data/0", "x/data.pkl", "x/code/__torch__.py", "x/constants.pkl", "x/version"):
            archive.writestr(name, b"x")


def cut(path: Path) -> None:
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-200])


def packed(path: Path) -> None:
    """Zeros that unpack to a thousand times the file; ``torch.save`` packs nothing."""
    torch.save({"a": torch.zeros(300_000)}, path)
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (script, r"it is a TorchScript module\. Save its state dict .*torch\.jit\.load\('x\.pth'"),
        (
            lambda path: torch.save(nn.Linear(2, 2), path),
            r"a whole pickled module \(torch\.nn\.modules\.linear\.Linear",
        ),
        (lambda path: torch.save({"a": Custom()}, path), r"objects beside tensors \(.*Custom\)"),
        (
            lambda path: torch.save({"epoch": 3, "g_ema": TENSORS, "opt": {"lr": 0.1}}, path),
            r"not a state dict: epoch, g_ema \(1 tensors\), opt\. .*\['g_ema'\]",
        ),
        (lambda path: torch.save([1, 2], path), "holds no state dict: it holds one list"),
        (cut, r"not a whole file of PyTorch weights .* cut short or damaged\. Download"),
        (lambda path: path.write_bytes(b"\x80\x04\x95\x05\0\0\0\0\0\0\0}."), "it is a Python pickle.*never opened"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), r"it is an HDF5 file\. Name a state dict"),
        (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(99)), r"it is a 7-Zip archive\. Unpack it"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer.*git lfs"),
        (lambda path: path.mkdir(), "are not a file"),
        (lambda path: os.mkfifo(path), "are not a file"),
        (lambda path: torch.save({0: torch.ones(2)}, path), "a tensor's name is 0, which is not text"),
        (lambda path: torch.save({"a": torch.ones(1).expand(10**9)}, path), r"a claims \[1000000000\], more numbers"),
        (lambda path: torch.save({"a": torch.ones(2, device="meta")}, path), "a, which is not a plain tensor"),
        (lambda path: torch.save({"a": torch.eye(2).to_sparse()}, path), "a, which is not a plain tensor"),
        (packed, r"x\.pth are damaged: its parts claim [\d,]+ bytes, and it has \d,"),
    ],
)
def test_what_holds_no_state_dict_is_called_what_it_is(tmp_path: Path, write: Any, words: str) -> None:
    write(tmp_path / "x.pth")
    with pytest.raises(InputError, match=words):
        read_state_dict(tmp_path / "x.pth")


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.pth")
    torch.save(TENSORS, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        assert torch.equal(read_state_dict(tmp_path / name)["a.weight"], TENSORS["a.weight"])


def test_a_generator_that_changed_is_damaged(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", TENSORS, {})
    data = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=r"x\.safetensors are damaged: its contents do not match"):
        read_state_dict(tmp_path / "x.safetensors")


def test_a_file_renamed_onto_another_changes_neither_hash_nor_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored under the hash is of the bytes that were hashed, whatever happens to the name."""
    path, other = tmp_path / "x.pth", tmp_path / "other.pth"
    torch.save(TENSORS, path)
    torch.save({"a.weight": torch.zeros(2, 3)}, other)
    expected, load = hashlib.sha256(path.read_bytes()).hexdigest(), torch.load

    def renamed(*args: Any, **options: Any) -> Any:
        other.replace(path)
        return load(*args, **options)

    monkeypatch.setattr(torch, "load", renamed)
    tensors, sha256 = read_hashed_state_dict(path)
    assert sha256 == expected and torch.equal(tensors["a.weight"], TENSORS["a.weight"])


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, load = tmp_path / "x.pth", torch.load
    torch.save(TENSORS, path)

    def touched(*args: Any, **options: Any) -> Any:
        os.utime(path, ns=(0, 0))
        return load(*args, **options)

    monkeypatch.setattr(torch, "load", touched)
    with pytest.raises(InputError, match="are damaged: it changed while it was read"):
        read_hashed_state_dict(path)


@pytest.mark.parametrize(("at", "value"), [(6, 196), (8, 0)], ids=["version", "flags"])
def test_a_directory_that_cannot_be_read_is_damage(tmp_path: Path, at: int, value: int) -> None:
    torch.save(TENSORS, tmp_path / "x.pth")
    data = bytearray((tmp_path / "x.pth").read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + at] = value
    data[entry + 9], data[entry + 46] = 8, 0x80  # a name in UTF-8 that is none
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(Damaged):
        require_honest_zip(HeldFile(tmp_path / "x.pth"))
