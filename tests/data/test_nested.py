"""Archives in archives, and parts of one download."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from facegen.data.opening import archives_of, open_container
from facegen.data.places import Window
from facegen.errors import EnvironmentProblem, InputError

Png = Callable[[int], bytes]
Store = Callable[..., Path]
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
DRIVE = "celeba-20240101T120000Z"


def zipped(files: Mapping[str, bytes], method: int = DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def write(path: Path, files: Mapping[str, bytes], method: int = DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(files, method))
    return path


class TestNested:
    def test_a_stored_archive_is_read_where_it_lies(self, tmp_path: Path, png: Png) -> None:
        path = write(tmp_path / "x.zip", {"inner.zip": zipped({"1.png": png(1)})}, STORED)
        (member,) = open_container(path).members(["1.png"])
        place = member.archive  # type: ignore[attr-defined]
        assert isinstance(place, Window) and place.path == path

    @pytest.mark.parametrize("method", [STORED, DEFLATED])
    def test_images_of_its_own_are_taken_alone(self, tmp_path: Path, png: Png, method: int) -> None:
        path = write(tmp_path / "x.zip", {"1.png": png(1), "inner.zip": zipped({"2.png": png(2)})}, method)
        assert open_container(path).names == ["1.png"]

    def test_it_is_said(self, tmp_path: Path, png: Png, capsys: Any) -> None:
        open_container(write(tmp_path / "x.zip", {"a/inner.zip": zipped({"1.png": png(1)})}))
        assert "Reading the images from a/inner.zip in" in capsys.readouterr().err

    def test_the_inner_archive_is_told_by_content(self, tmp_path: Path, png: Png) -> None:
        path = write(tmp_path / "x.zip", {"download": zipped({"1.png": png(1)}), "__MACOSX/._download": b"PK\3\4"})
        assert open_container(path).names == ["1.png"]

    def test_of_several_that_of_celeba_is_meant(self, tmp_path: Path, png: Png) -> None:
        inner = {"CelebA/Img/img_align_celeba.zip": zipped({"1.png": png(1)}), "CelebA/Anno.zip": zipped({"a": b""})}
        assert open_container(write(tmp_path / "x.zip", inner)).names == ["1.png"]

    def test_several_are_named(self, tmp_path: Path, png: Png) -> None:
        path = write(tmp_path / "x.zip", {f"{at}.zip": zipped({f"{at}.png": png(at)}) for at in (1, 2)})
        with pytest.raises(InputError, match=r"no image, but 2 archives: 1\.zip, 2\.zip"):
            open_container(path)

    def test_a_bomb_is_not_dug_into(self, tmp_path: Path, png: Png) -> None:
        data = zipped({"1.png": png(1)})
        for depth in range(3):
            data = zipped({f"{depth}.zip": data}, STORED)
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(InputError, match="No image found"):
            open_container(tmp_path / "x.zip")

    @pytest.mark.parametrize("method", [STORED, DEFLATED])
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_damage_within_is_told(self, tmp_path: Path, png: Png, method: int, kind: str) -> None:
        inner = io.BytesIO()
        if kind == "zip":
            inner.write(zipped({"1.png": png(1)})[:-30])
        else:
            with tarfile.open(fileobj=inner, mode="w") as archive:
                entry = tarfile.TarInfo("1.png")
                entry.size = len(png(1))
                archive.addfile(entry, io.BytesIO(png(1)))
        path = write(tmp_path / "x.zip", {f"inner.{kind}": inner.getvalue()}, method)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            open_container(path)

    def test_no_space_for_the_copy_is_told_before(
        self, tmp_path: Path, png: Png, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "x.zip", {"inner.zip": zipped({"1.png": png(1)})})
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage(9, 9, 0))
        with pytest.raises(EnvironmentProblem, match=r"inner\.zip in .*x\.zip, the temporary folder .* needs"):
            open_container(path)


class TestParts:
    def test_a_folder_of_them_is_read_as_one(self, tmp_path: Path, png: Png, capsys: Any) -> None:
        for at in (1, 2, 3):
            write(
                tmp_path / f"{DRIVE}-{at:03d}.zip", {f"celeba/{at}.png": png(at), f"celeba/{at + 7}.png": png(at + 7)}
            )
        container = open_container(tmp_path)
        assert (container.kind, container.names) == ("joined", [f"celeba/{at}.png" for at in (1, 2, 3, 8, 9, 10)])
        assert [member.read() for member in container.members(container.names[2:4])] == [png(3), png(8)]
        assert f"6 images in 3 parts, {DRIVE}-001.zip to {DRIVE}-003.zip, read as one" in capsys.readouterr().err

    def test_a_part_may_have_no_image_or_an_archive_of_them(self, tmp_path: Path, png: Png) -> None:
        write(tmp_path / f"{DRIVE}-001.zip", {"Eval/list_eval_partition.txt": b"1.png 0\n"})
        write(tmp_path / f"{DRIVE}-002.zip", {"Img/img_align_celeba.zip": zipped({"1.png": png(1)})})
        container = open_container(tmp_path)
        assert [member.read() for member in container.members(container.names)] == [png(1)]
        assert len(archives_of(container)) == 3

    @pytest.mark.parametrize("names", [(f"{DRIVE}-001.zip", f"{DRIVE}-003.zip"), ("a.part1.zip", "a.part3.zip")])
    def test_a_missing_part_is_said(self, tmp_path: Path, png: Png, names: tuple[str, str]) -> None:
        for at, name in enumerate(names):
            write(tmp_path / name, {f"{at}.png": png(at)})
        container = open_container(tmp_path)
        assert len(container.names) == 2
        missing = names[0].replace("1.zip", "2.zip")
        assert f"A part is missing from {tmp_path}: {missing}" in container.passed_over.incomplete[0]

    @pytest.mark.parametrize("number", [1, 2])
    def test_one_that_is_named_is_read_alone_and_said(self, tmp_path: Path, png: Png, number: int) -> None:
        paths = [write(tmp_path / f"{DRIVE}-{at:03d}.zip", {f"{at}.png": png(at)}) for at in (1, 2)]
        container = open_container(paths[number - 1])
        assert container.names == [f"{number}.png"]
        (told,) = container.passed_over.incomplete
        assert "read alone" in told and f"Beside it: {paths[2 - number].name}." in told

    @pytest.mark.parametrize("same", [True, False])
    def test_a_name_in_two_parts_must_be_the_same_image(self, tmp_path: Path, png: Png, same: bool) -> None:
        write(tmp_path / "faces-001.zip", {"1.png": png(1), "2.png": png(2)})
        write(tmp_path / "faces-002.zip", {"2.png": png(2 if same else 3), "3.png": png(3)})
        if same:
            assert open_container(tmp_path).names == ["1.png", "2.png", "3.png"]
        else:
            with pytest.raises(InputError, match=r"different images named 2\.png"):
                open_container(tmp_path)

    @pytest.mark.parametrize(
        "names", [("samples-100.zip", "samples-200.zip"), ("a-001.zip", "b-002.zip"), ("a.zip", "b.zip")]
    )
    def test_other_archives_are_no_parts(self, tmp_path: Path, png: Png, names: tuple[str, str], capsys: Any) -> None:
        for name in names:
            write(tmp_path / name, {"1.png": png(1)})
        open_container(tmp_path / names[0])
        assert "part" not in capsys.readouterr().err
        with pytest.raises(InputError, match="No image found"):
            open_container(tmp_path)
