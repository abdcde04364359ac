"""What an image says of its sampling goes with the file, and nothing harmful with it."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facegen.data.sampling import png_info, sampling_of, summary


def png(info: PngInfo | None) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_what_is_written_is_read_and_is_ordinary_png_text() -> None:
    data = png(png_info("truncation 0.8; Sobol latents"))
    assert sampling_of(data) == "truncation 0.8; Sobol latents"
    assert Image.open(io.BytesIO(data)).info["Sampling"] == "truncation 0.8; Sobol latents"


def test_plain_sampling_leaves_the_file_as_it_was() -> None:
    assert png(png_info(None)) == png(None)


def test_it_is_found_behind_other_text() -> None:
    info = PngInfo()
    info.add_text("Author", "x" * 2000)
    info.add_text("Sampling", "it")
    assert sampling_of(png(info)) == "it"


@pytest.mark.parametrize("length", range(0, 90, 3))
def test_a_cut_file_says_nothing_or_what_it_said(length: int) -> None:
    assert sampling_of(png(png_info("truncation 0.8"))[:length]) in (None, "truncation 0.8")


def test_other_files_say_nothing() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG", comment=b"Sampling\0it")
    assert sampling_of(buffer.getvalue()) is None


def test_control_characters_and_long_words_are_left_out() -> None:
    info = PngInfo()
    info.add_text("Sampling", "\x1b[31mred\n" + "y" * 5000)
    said = sampling_of(png(info))
    assert said is not None and said.startswith("[31mredyyy") and len(said) == 200 and said.isprintable()


@pytest.mark.parametrize(
    ("samplings", "words"),
    [
        ({None: 5}, None),
        ({}, None),
        ({"truncation 0.8": 5}, "truncation 0.8"),
        ({"truncation 0.8": 300, None: 700}, "truncation 0.8 (300 of 1,000 images)"),
        ({"a": 2, "b": 3}, "b (3 of 5 images); a (2 of 5 images)"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "a (1 of 4 images); b (1 of 4 images); c (1 of 4 images); others: 1"),
    ],
)
def test_a_set_is_summed_up(samplings: dict[str | None, int], words: str | None) -> None:
    assert summary(Counter(samplings)) == words
