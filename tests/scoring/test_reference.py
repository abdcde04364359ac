from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegen.errors import InputError
from facegen.files import cache_folder
from facegen.scoring import reference
from facegen.scoring.extractors import FeatureExtractor
from facegen.scoring.reference import open_reference, save_reference


def kept() -> list[Path]:
    return sorted((cache_folder() / "references").glob("*.npz"))


def write(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_statistics_are_computed_once(tiny: FeatureExtractor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_reference(folder, tiny)
    monkeypatch.setattr(reference, "feature_statistics", None)
    again = open_reference(folder, tiny)
    np.testing.assert_array_equal(again.statistics.sigma, first.statistics.sigma)
    assert (again.statistics.n, again.sha256) == (20, first.sha256)


def test_the_cache_goes_by_content(tiny: FeatureExtractor, folder: Path) -> None:
    before = open_reference(folder, tiny)
    (folder / "0000.png").unlink()
    after = open_reference(folder, tiny)
    assert after.statistics.n == 19 and after.sha256 != before.sha256


@pytest.mark.parametrize("change", [{"name": "other"}, {"weights_sha256": "1" * 64}])
def test_the_cache_goes_by_the_extractor(tiny: FeatureExtractor, folder: Path, change: dict[str, str]) -> None:
    open_reference(folder, tiny)
    open_reference(folder, replace(tiny, **change))
    assert len(kept()) == 2


def test_a_damaged_cache_is_computed_anew(
    tiny: FeatureExtractor, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = open_reference(folder, tiny)
    (file,) = kept()
    file.write_bytes(file.read_bytes()[:200])
    np.testing.assert_array_equal(open_reference(folder, tiny).statistics.mu, first.statistics.mu)
    assert "computing the reference statistics anew" in capsys.readouterr().err


def test_saved_statistics_can_be_read_back_by_numpy_alone(tiny: FeatureExtractor, folder: Path, tmp_path: Path) -> None:
    computed = open_reference(folder, tiny)
    save_reference(computed, tiny, tmp_path / "stats.npz")
    with np.load(tmp_path / "stats.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["mu"], computed.statistics.mu)
        np.testing.assert_array_equal(file["sigma"], computed.statistics.sigma)
        assert (int(file["n"]), str(file["extractor"])) == (20, "tiny")
    assert open_reference(tmp_path / "stats.npz", tiny).statistics.n == 20


def test_pytorch_fids_layout_has_no_n(tiny: FeatureExtractor, tmp_path: Path) -> None:
    path = write(tmp_path / "their.npz", mu=np.zeros(12), sigma=np.eye(12))
    assert open_reference(path, tiny).statistics.n is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mu": np.zeros(12)}, "lacks sigma"),
        ({"images": np.zeros(12)}, "lacks mu and sigma"),
        ({"mu": np.zeros(2048), "sigma": np.eye(2048)}, r"mu \[2048\].*tiny has 12 dims"),
        ({"mu": np.zeros(12), "sigma": np.zeros(12)}, r"sigma \[12\]"),
        ({"mu": np.full(12, np.nan), "sigma": np.eye(12)}, "NaN"),
        ({"mu": np.zeros(12), "sigma": np.triu(np.ones((12, 12)))}, "not symmetric"),
        ({"mu": np.zeros(12, complex), "sigma": np.eye(12)}, "not numbers"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "n": np.array(-3)}, "not a number of images"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "extractor": np.array("inception")}, "another extractor"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "weights_sha256": np.array("1" * 64)}, "another extractor"),
        ({"mu": np.array([None] * 12), "sigma": np.eye(12)}, "plain arrays"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_statistics_that_do_not_fit(
    tiny: FeatureExtractor, tmp_path: Path, arrays: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=rf"stats\.npz.*{words}|{words}.*stats\.npz"):
        open_reference(write(tmp_path / "stats.npz", **arrays), tiny)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04 and no more"])
def test_files_that_are_no_npz(tiny: FeatureExtractor, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stats.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"stats\.npz is not an \.npz"):
        open_reference(tmp_path / "stats.npz", tiny)


def test_a_missing_reference_is_named(tiny: FeatureExtractor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.npz is not there"):
        open_reference(tmp_path / "nowhere.npz", tiny)
