"""What is not taken is counted, and said where somebody may miss it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from facegen.data.opening import open_container
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor

Store = Callable[..., Path]
Png = Callable[[int], bytes]
CommandLine = Callable[..., Result]
JPEG = b"\xff\xd8\xff\xe0 and so on"


def warnings_of(path: Path) -> str:
    container = open_container(path)
    return " ".join(container.passed_over.warnings(path, len(container.names)))


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar.gz"])
def test_the_report_of_39_files(form: str, store: Store, png: Png) -> None:
    files = {f"{at}.png": png(at) for at in range(7)}
    files |= {f"IMG_{at}.HEIC": b"\0\0\0\x18ftypheic" for at in range(12)}
    files |= {f"{at}.jpg_large": JPEG for at in range(10)} | {f"face {at}": png(at) for at in range(10)}
    path = store(form, files)
    assert warnings_of(path) == (
        f"7 of 39 files in {path} are read as images. Left out: 12 .heic, 10 .jpg_large and 10 without a suffix. "
        "To include the .heic, convert them to PNG or JPEG. To include the files without a suffix and "
        ".jpg_large, end their names in .jpg or .png: 0.jpg_large, for example, holds an image."
    ).replace("0.jpg_large,", f"{open_container(path).passed_over.misnamed[0]},")


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar"])
@pytest.mark.parametrize(
    ("name", "data", "remedy"),
    [
        ("1.heif", b"x", "To include the .heif, convert them to PNG"),
        ("1.CR2", b"x", "To include the .cr2, convert them to PNG"),
        ("1.jxl", b"x", "To include the .jxl, convert them to PNG"),
        ("1.svg", b"<svg/>", "To include the .svg, convert them to PNG"),
        ("film.mp4", b"x", "To include the .mp4, convert them to PNG"),
        ("1.jpg-large", JPEG, "To include the .jpg-large, end their names in .jpg"),
        ("1.jpg@v1", JPEG, "To include the .jpg@v1, end their names in .jpg"),
        ("d.1/face", JPEG, "To include the files without a suffix, end their names in .jpg"),
        ("more.zip", b"PK\5\6", "To read an archive, name it or unpack it: more.zip."),
        ("a/rest.tar.gz", b"x", "name it or unpack it: a/rest.tar.gz."),
        ("more.download", b"PK\3\4", "name it or unpack it: more.download."),
        ("train-00000.parquet", b"PAR1", "name it or unpack it: train-00000.parquet."),
    ],
)
def test_pictures_and_archives_are_said_with_the_way_on(
    form: str, name: str, data: bytes, remedy: str, store: Store, png: Png
) -> None:
    said = warnings_of(store(form, {"1.png": png(1), name: data}))
    assert "1 of 2 files" in said and "is read as images" in said and remedy in said


@pytest.mark.parametrize(
    "names",
    [
        ["readme.txt", "labels.csv", "LICENSE"],
        ["list_attr_celeba.txt", "list_eval_partition.csv", "Anno/identity_CelebA.txt", "dataset.json"],
        ["paper.pdf", "weights.pth", "notes.docx", "features.npy", "table.csv.gz"],
    ],
)
def test_texts_and_the_like_are_no_reason_to_warn(names: list[str], store: Store, png: Png) -> None:
    assert warnings_of(store("faces", {"1.png": png(1), **dict.fromkeys(names, b"PK\3\4")} | {"LICENSE": b"MIT"})) == ""


def test_they_are_a_line_of_the_story_and_annotations_are_not(
    store: Store, png: Png, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store("faces", {"1.png": png(1), "a.txt": b"", "b.txt": b"", "c.csv": b"", "list_attr_celeba.txt": b""})
    open_container(path).passed_over.say_remark(path, 1)
    assert capsys.readouterr().err == f"Beside 1 image, {path} holds 2 .txt and 1 .csv, which are left out.\n"


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar"])
def test_images_that_a_dot_hides_are_said_and_what_macos_makes_is_not(form: str, store: Store, png: Png) -> None:
    names = ["1.png", ".2.png", "a/.jpg", ".3.JPG.icloud", "._1.png", ".DS_Store", "__MACOSX/.4.png", ".5.txt"]
    path = store(form, dict.fromkeys(names, png(1)))
    container = open_container(path)
    assert sorted(container.passed_over.hidden) == [".2.png", ".3.JPG.icloud", "a/.jpg"]
    assert container.passed_over.to_json() == {"hidden": 3} and "3 images in" in warnings_of(path)
    assert "iCloud removed the files ending in .icloud from this disk" in warnings_of(path)


def test_where_everything_is_left_out_the_error_says_what_there_is(store: Store) -> None:
    with pytest.raises(InputError, match=r"It holds 2 \.heic and 1 \.txt\. To include the \.heic, convert"):
        open_container(store("faces", {"1.heic": b"x", "2.HEIC": b"x", "a.txt": b"x"}))


def test_only_some_files_of_one_ending_are_looked_into() -> None:
    passed_over, looks = PassedOver(), 0

    def head() -> bytes:
        nonlocal looks
        looks += 1
        return JPEG

    for at in range(5000):
        passed_over.add(f"{at}.odd", head)
    assert (passed_over.suffixes, looks < 500) == ({".odd": 5000}, True)


def test_a_manifest_does_not_grow_with_the_kinds_of_endings() -> None:
    passed_over = PassedOver()
    for at in range(2000):
        passed_over.add(f"frame.{at}", bytes)
    assert (len(passed_over.to_json()), sum(passed_over.to_json().values())) == (51, 2000)


def test_prepare_says_it_once_and_keeps_it_in_the_manifest(
    store: Store, png: Png, tmp_path: Path, facegen: CommandLine
) -> None:
    path = store("faces", {"1.png": png(1), "2.heic": b"x", "more.zip": b"x", "a.txt": b"x"})
    outcome = facegen("prepare", path, tmp_path / "out", "--size", "8")
    assert outcome.stderr.count("1 of 4 files in") == 1 and "more.zip" in outcome.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["passed_over"] == {".heic": 1, ".txt": 1, ".zip": 1}


def test_fid_says_it_once_for_each_source_and_in_its_json(
    store: Store, png: Png, facegen: CommandLine, tiny: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.scoring.statistics_extractor.open_extractor", lambda *args, **kwargs: tiny)
    images = store("images", {f"{at}.png": png(at) for at in range(3)} | {"4.heic": b"x"})
    reference = store("reference", {f"{at}.png": png(at + 9) for at in range(3)} | {"rest.zip": b"x", "a.txt": b"x"})
    store("images.zip", {f"images/{at}.png": png(at) for at in range(5)})
    outcome = facegen("fid", images, "--reference", reference, "--json")
    assert outcome.stderr.count("its unpacking may have stopped early") == 1
    assert sum("its unpacking may have stopped early" in said for said in json.loads(outcome.stdout)["warnings"]) == 1
    said = [warning for warning in json.loads(outcome.stdout)["warnings"] if "are read as images" in warning]
    assert [str(path) in sentence for path, sentence in zip((images, reference), said, strict=True)] == [True, True]
    assert [outcome.stderr.count(f"in {path} are read as images") for path in (images, reference)] == [1, 1]


def test_grade_says_it_once_though_the_reference_is_the_training_images_too(
    store: Store,
    png: Png,
    tmp_path: Path,
    facegen: CommandLine,
    tiny: FeatureExtractor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("facegen.scoring.statistics_extractor.open_extractor", lambda *args, **kwargs: tiny)
    faces = store("faces", {f"{at}.png": png(at) for at in range(3)} | {"4.heic": b"x"})
    (tmp_path / "s1.tar.gz").write_bytes(b"none")
    words = ("grade", tmp_path / "s1.tar.gz", "--reference", faces, "--train", faces, "--out", tmp_path / "out")
    assert facegen(*words).stderr.count(f"in {faces} are read as images") == 1
