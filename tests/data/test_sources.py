"""What the words of SOURCE mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facegen.data.decode import Decoded
from facegen.data.sources import CHUNK, SYNTHETIC_COUNT, open_source
from facegen.data.synthetic import render_faces
from facegen.errors import InputError


def test_synthetic_has_a_default_and_a_number() -> None:
    assert len(open_source("synthetic").names) == SYNTHETIC_COUNT
    assert open_source("synthetic:3").names == ["face-000000", "face-000001", "face-000002"]


@pytest.mark.parametrize("words", ["synthetic:", "synthetic:0", "synthetic:-4", "synthetic:many"])
def test_synthetic_without_a_sensible_number_is_told(words: str) -> None:
    with pytest.raises(InputError, match="synthetic:2500"):
        open_source(words)


def test_a_folder_called_synthetic_can_be_named(
    tmp_path: Path, png: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "1.png").write_bytes(png(1))
    monkeypatch.chdir(tmp_path)
    assert open_source("./synthetic").names == open_source(Path("synthetic")).names == ["1.png"]


def test_drawn_faces_are_those_of_their_seed_and_index() -> None:
    source = open_source("synthetic:4", seed=5)
    (chunk,) = source.chunks(source.names[2:])
    for (name, outcome), expected in zip(chunk.decode(), render_faces(5, [2, 3]), strict=True):
        assert isinstance(outcome, Decoded), name
        np.testing.assert_array_equal(np.asarray(outcome.image), expected)


def test_chunks_hold_every_image_once_in_order(store: Callable[..., Path], png: Callable[[int], bytes]) -> None:
    count = CHUNK * 2 + 1
    source = open_source(store("faces.zip", {f"{at}.png": png(at % 3) for at in range(count)}))
    chunks = list(source.chunks(source.names))
    assert len(chunks) == 3
    assert [name for chunk in chunks for name, _ in chunk.decode()] == [f"{at}.png" for at in range(count)]


def test_identity_of_drawn_faces_follows_seed_and_number() -> None:
    identities = {open_source(words, seed).identity for words in ("synthetic:2", "synthetic:3") for seed in (0, 1)}
    assert len(identities) == 4
