"""Words from outside are seen as they are, whatever they are."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.printable import json_text, plainer, printable, printable_lines, shortened

#: What Unicode calls control, format and surrogate characters, and breaks of lines and paragraphs.
OBEYED = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
#: Hypothesis makes a surrogate only where it is asked for one.
ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from(OBEYED))
ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "cp949", "shift_jis", "utf-8", "utf-16"]
NFD = unicodedata.normalize("NFD", "김철수 José")


def is_seen(text: str) -> bool:
    return set(text).isdisjoint(OBEYED)


def test_every_character_that_is_obeyed_is_spelt_out() -> None:
    for character in OBEYED:
        told = printable(f"a{character}b")
        assert told.isascii() and told.isprintable() and f"{ord(character):04x}b" in told


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x9b31m", r"\u009b31m"),
        ("a\nb\tc\rd", r"a\u000ab\u0009c\u000dd"),
        ("exe.\u202egnp", r"exe.\u202egnp"),
        ("\u2066\u200e\u200f\u061c", r"\u2066\u200e\u200f\u061c"),
        ("\ufeffa\u200bb", r"\ufeffa\u200bb"),
        ("\udce9.png", r"\udce9.png"),
        ("a\U000e0041", r"a\U000e0041"),
        ("a\u00a0b", r"a\u00a0b"),
        ("\ue000", r"\ue000"),
        ("\u3164\u115f\uffa0\u034f\ufe0f\U000e0100", r"\u3164\u115f\uffa0\u034f\ufe0f\U000e0100"),
        ("👩\u200d🎨", r"👩\u200d🎨"),
    ],
    ids=[
        "OSC",
        "C1",
        "breaks",
        "bidi",
        "isolates",
        "zero-width",
        "no-UTF-8",
        "tag",
        "space",
        "private",
        "nothing",
        "ZWJ",
    ],
)
def test_what_cannot_be_seen_is_spelt_out(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize("name", ["김철수 과제", NFD, "Ünïcödé", "عربي", "שלום", "ひらがな", "🎨", "C:\\x [b] :art:"])
def test_letters_accents_and_signs_stay(name: str) -> None:
    assert printable(name) == name


@given(ANY)
def test_any_text_becomes_printable_once(text: str) -> None:
    told = printable(text)
    assert is_seen(told) and printable(told) == told
    assert printable_lines(f"{text}\n{text}") == "\n".join(map(printable, f"{text}\n{text}".split("\n")))


@given(ANY, st.booleans())
def test_json_is_exact_and_holds_nothing_that_is_obeyed(text: str, ascii_only: bool) -> None:
    told = json_text({text: [text, 1.5, None]}, ascii_only=ascii_only)
    exact = "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert json.loads(told) == {exact: [exact, 1.5, None]}
    assert is_seen(told.replace("\n", "")) and (told.isascii() or not ascii_only)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_json(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text([value])


@settings(max_examples=200)
@given(ANY, st.sampled_from(ENCODINGS))
def test_any_text_has_plainer_words_in_any_encoding(text: str, encoding: str) -> None:
    told = plainer(printable(text), encoding)
    assert is_seen(told.encode(encoding).decode(encoding))  # and to encode it does not raise


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("[N, 3] → FID∞, 3×64×64 – é…", "cp1252", "[N, 3] -> FIDinf, 3×64×64 – é…"),
        ("[N, 3] → FID∞, 3×64×64 – é…", "ascii", r"[N, 3] -> FIDinf, 3x64x64 - \u00e9..."),
        ("The Fréchet distance is 1 ± 0.5.", "ascii", "The Frechet distance is 1 +/- 0.5."),
        ("┏━┳━┓┃│└─┘╸", "ascii", "+-+-+||+-+-"),
        ("┌─┐ 김", "cp437", r"┌─┐ \uae40"),
        ("김 → é", "cp949", r"김 → \u00e9"),
        ("김 → é", "utf-8", "김 → é"),
        ("김 →", None, "김 →"),
        ("a → é", "no encoding", r"a -> \u00e9"),
    ],
)
def test_what_an_encoding_lacks_is_written_plainer(text: str, encoding: str | None, shown: str) -> None:
    assert plainer(text, encoding) == shown


def test_long_names_lose_their_middle() -> None:
    assert shortened("a" * 60 + "b" * 10_000 + "c" * 16, 80) == "a" * 60 + "bbb…" + "c" * 16
    assert shortened("x" * 80, 80) == "x" * 80
