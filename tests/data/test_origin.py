"""What an image says of where it comes from goes with the file, and nothing harmful with it."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facegen.data.origin import KEYWORDS, Origin, origin_of, png_info, summary


def png(info: PngInfo | None) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("origin", "chunks"),
    [
        (Origin("truncation 0.8; Sobol latents"), {"Sampling": "truncation 0.8; Sobol latents"}),
        (Origin(None, "effnet-lite0"), {"Trained-Against": "effnet-lite0"}),
        (Origin("Sobol latents", "effnet-lite0"), {"Sampling": "Sobol latents", "Trained-Against": "effnet-lite0"}),
    ],
)
def test_what_is_written_is_read_and_is_ordinary_png_text(origin: Origin, chunks: dict[str, str]) -> None:
    data = png(png_info(origin))
    assert origin_of(data) == origin
    assert Image.open(io.BytesIO(data)).info == chunks


def test_nothing_to_say_leaves_the_file_as_it_was() -> None:
    assert png(png_info(Origin())) == png(None)
    assert origin_of(png(None)) == Origin()


def test_it_is_found_behind_other_text() -> None:
    info = PngInfo()
    info.add_text("Author", "x" * 2000)
    info.add_text("Sampling", "it")
    assert origin_of(png(info)) == Origin("it")


@pytest.mark.parametrize("length", range(0, 130, 3))
def test_a_cut_file_says_nothing_or_what_it_said(length: int) -> None:
    said = origin_of(png(png_info(Origin("truncation 0.8", "effnet-lite0")))[:length])
    assert said.sampling in (None, "truncation 0.8") and said.trained_against in (None, "effnet-lite0")


def test_other_files_say_nothing() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG", comment=b"Sampling\0it")
    assert origin_of(buffer.getvalue()) == Origin()


@pytest.mark.parametrize("field", KEYWORDS)
def test_control_characters_and_long_words_are_left_out(field: str) -> None:
    info = PngInfo()
    info.add_text(KEYWORDS[field], "\x1b[31mred\n" + "y" * 5000)
    said = getattr(origin_of(png(info)), field)
    assert said.startswith("[31mredyyy") and len(said) == 200 and said.isprintable()


@pytest.mark.parametrize("field", KEYWORDS)
@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({None: 5}, None),
        ({}, None),
        ({"truncation 0.8": 5}, "truncation 0.8"),
        ({"truncation 0.8": 300, None: 700}, "truncation 0.8 (300 of 1,000 images)"),
        ({"a": 2, "b": 3}, "b (3 of 5 images); a (2 of 5 images)"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "a (1 of 4 images); b (1 of 4 images); c (1 of 4 images); others: 1"),
    ],
)
def test_a_set_is_summed_up(field: str, counts: dict[str | None, int], words: str | None) -> None:
    origins = Counter({Origin(**{field: text}): count for text, count in counts.items()})
    assert summary(origins) == Origin(**{field: words})


def test_each_is_summed_up_whatever_the_other_says() -> None:
    origins = Counter({Origin("a", "net"): 1, Origin("b", "net"): 1, Origin(None, None): 2})
    assert summary(origins) == Origin("a (1 of 4 images); b (1 of 4 images)", "net (2 of 4 images)")
