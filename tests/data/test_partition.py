"""CelebA's partition file: how it is read, and how images are found in it."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.data import caps
from facegen.data.partition import Partition, is_partition_name, parse_partition, read_partition
from facegen.errors import InputError

THREE = {"000001.jpg": "train", "000002.jpg": "valid", "000003.jpg": "test"}
LINES = "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"
#: Each form that CelebA's partition is met in.
FORMS = {
    "celeba": LINES,
    "blank lines": LINES.replace("\n", "\n\n"),
    "aligned": LINES.replace(" ", "    "),
    "tabs": LINES.replace(" ", "\t"),
    "windows": LINES.replace("\n", "\r\n"),
    "old macos": LINES.replace("\n", "\r"),
    "kaggle": "image_id,partition\n" + LINES.replace(" ", ","),
    "comma, no header": LINES.replace(" ", ","),
    "comma and space": LINES.replace(" ", ", "),
    "quoted": '"image_id","partition"\n"000001.jpg","0"\n"000002.jpg","1"\n"000003.jpg","2"\n',
    "semicolons": "image_id;partition\n" + LINES.replace(" ", ";"),
    "spreadsheet": "image_id;partition;;\n" + LINES.replace(" ", ";").replace("\n", ";;\n"),
    "pandas index": ",image_id,partition\n0,000001.jpg,0\n1,000002.jpg,1\n2,000003.jpg,2\n",
    "pandas index, no header": "0,000001.jpg,0\n1,000002.jpg,1\n2,000003.jpg,2\n",
    "pandas floats": "image_id,partition\n000001.jpg,0.0\n000002.jpg,1.0\n000003.jpg,2.0\n",
    "columns the other way": "split,file\n0,000001.jpg\n1,000002.jpg\n2,000003.jpg\n",
    "among attributes": "image_id,Male,partition\n000001.jpg,1,0\n000002.jpg,0,1\n000003.jpg,0,2\n",
    "said twice": LINES + "000001.jpg 0\n",
    "paths": LINES.replace("0000", "./0000"),
}


def read(text: str) -> dict[str, str]:
    return parse_partition(text.encode(), "list").splits


@pytest.mark.parametrize("form", FORMS)
def test_is_told_by_content(form: str) -> None:
    assert read(FORMS[form]) == THREE


@pytest.mark.parametrize(
    "encoded",
    [
        codecs.BOM_UTF8 + LINES.encode(),
        LINES.encode("utf-16"),
        codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"),
        LINES.encode("utf-16-le"),
        LINES.encode("utf-16-be"),
    ],
    ids=["utf-8 with mark", "powershell", "utf-16 big-endian", "little-endian, no mark", "big-endian, no mark"],
)
def test_is_read_in_the_encodings_of_windows(encoded: bytes) -> None:
    assert parse_partition(encoded, "list").splits == THREE


@pytest.mark.parametrize("name", ["my face.jpg", "a,b.jpg", "a;b.jpg", "a, b 0.jpg", "얼굴.jpg", "1"])
def test_names_are_kept_as_they_are(name: str) -> None:
    assert read(f"{name} 1\n") == {name: "valid"}


@pytest.mark.parametrize("line", ["000002.jpg", "000002.jpg 3", "000002.jpg -1", "000002.jpg both", "<html>", " 0"])
def test_another_line_is_told_with_its_number(line: str) -> None:
    with pytest.raises(InputError, match=r"Line 2 of the partition list "):
        read(f"000001.jpg 0\n{line}\n")


@pytest.mark.parametrize(
    "text",
    ["000001.jpg 5\n000002.jpg 0\n", "000001.jpg,2880\n", "image,label\n1.jpg,0\n", "a,b,c\n1.jpg,1,0\n", "202599\n"],
)
def test_the_first_line_is_no_header_unless_it_says_so(text: str) -> None:
    with pytest.raises(InputError, match=r"Line 1 of the partition list "):
        read(text)


def test_a_name_in_two_splits_is_an_error() -> None:
    with pytest.raises(InputError, match=r"puts '000001\.jpg' into the train split and, in line 4, into the test"):
        read(LINES + "000001.jpg 2\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"1.jpg 0\n\xe9.jpg 1\n", "not a text file"),
        (LINES.encode("utf-32"), "not a text file"),
        (b"PK\3\4\xff\0", "is a zip archive, not a text file"),
        (None, "Cannot read"),
    ],
)
def test_what_is_no_partition_is_told(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_partition(path)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.binary(max_size=60) | st.text(st.sampled_from('0129 ,;\t\n".jpgé'), max_size=40).map(str.encode))
def test_anything_else_is_read_or_is_an_input_error(data: bytes) -> None:
    try:
        partition = parse_partition(data, "list")
    except InputError:
        return
    assert partition.splits and set(partition.splits.values()) <= {"train", "valid", "test"}


def of(splits: dict[str, str]) -> Partition:
    return Partition("list", splits, "0" * 64)


@pytest.mark.parametrize(
    "image",
    ["000002.jpg", "a/000002.jpg", "a/a/000002.jpg", "000002.png", "a/000002.WEBP", "000002.JPG", "000002.jpg.png"],
)
def test_images_are_found_by_the_stem_of_their_file_name(image: str) -> None:
    assert of(THREE).match([image]).splits == ["valid"]


@pytest.mark.parametrize(
    "words", [("train", "valid", "test"), ("Train", "val", "Testing"), ("training", "dev", "test")]
)
@pytest.mark.parametrize("form", ["{} {}\n", "{};{}\n", '"{}","{}"\n'])
def test_splits_may_be_words(words: tuple[str, ...], form: str) -> None:
    assert read("".join(form.format(name, word) for name, word in zip(THREE, words, strict=True))) == THREE


@pytest.mark.parametrize("image", ["2.jpg", "000002.x.png", "000002/1.jpg", "1000002.jpg", "000002_1.jpg"])
def test_others_are_not(image: str) -> None:
    assert of(THREE).match([image]).splits == [None]


def test_one_name_in_two_folders_is_both() -> None:
    matched = of(THREE).match(["a/000003.jpg", "b/000003.jpg"])
    assert (matched.splits, matched.unused, matched.again) == (["test", "test"], 2, 1)


def test_folders_and_suffixes_tell_apart_what_the_stem_does_not() -> None:
    splits = {"a/1.jpg": "train", "b/1.jpg": "test", "2.jpg": "train", "2.png": "valid", "c.JPG": "test"}
    images = ["x/b/1.png", "a/1.jpg", "1.jpg", "2.png", "2.bmp", "C.jpg"]
    assert of(splits).match(images).splits == ["test", "train", None, "valid", None, "test"]


@pytest.mark.parametrize(
    ("images", "fits"), [([], False), (["1.jpg", "x.jpg"], True), (["1.jpg", "x.jpg", "y"], False)]
)
def test_it_is_of_images_of_which_it_names_half(images: list[str], fits: bool) -> None:
    assert of({"1.jpg": "train"}).match(images).fits is fits


@pytest.mark.parametrize(
    "name",
    [
        "list_eval_partition.txt",
        "a/b/list_eval_partition.csv",
        "LIST_EVAL_PARTITION.TXT",
        "list_eval_partition (1).txt",
        "list_eval_partition(2).csv",
        "list_eval_partition - Copy.txt",
        "list_eval_partition copy 2.txt",
        "list_eval_partition.txt.txt",
        "list_eval_partition.csv.txt",
        "list_eval_partition",
    ],
)
def test_is_called_so(name: str) -> None:
    assert is_partition_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/._list_eval_partition.txt",
        "list_attr_celeba.txt",
        "my_list_eval_partition.txt",
    ],
)
def test_is_not_called_so(name: str) -> None:
    assert not is_partition_name(name)


def test_a_path_of_many_folders_is_kept_in_few_words() -> None:
    partition = parse_partition(("a/" * 20_000 + "x.jpg 1\n").encode(), "p.txt")
    assert partition.match(["a/x.png", "b/x.jpg"]).splits == ["valid", "valid"]
    assert sum(map(len, partition._loose)) < 100_000


def test_lines_are_counted_by_whatever_ends_them() -> None:
    with pytest.raises(InputError, match="Line 6 of the partition"):
        parse_partition(b"1.jpg 0\r\n\n2.jpg 1\x0b\x0c3.jpg 0\r4.jpg 5\n", "p.txt")


def test_more_lines_than_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "MOST_ENTRIES", 9)
    with pytest.raises(InputError, match=r"The partition p\.txt claims more than 9 entries"):
        parse_partition(b" \n" * 10, "p.txt")
