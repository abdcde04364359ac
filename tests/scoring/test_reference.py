from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from facegen.data.dataset import new_dataset
from facegen.data.images import open_images
from facegen.data.rgb import ALPHA_DROPPED, CLIPPED
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import cache_folder
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.scoring import feature_cache, reference
from facegen.scoring.reference import floor_of, open_reference, save_reference


def stored_files() -> list[Path]:
    return sorted((cache_folder() / "references").glob("*.npz"))


def write(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_statistics_are_computed_once(tiny: FeatureExtractor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_reference(folder, tiny)
    monkeypatch.setattr(feature_cache, "complete", None)
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
    assert len(stored_files()) == 2


def test_the_floor_goes_by_the_code_that_draws_its_pools(
    tiny: FeatureExtractor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_reference(folder, tiny)
    hashed: list[tuple[str, ...]] = []
    monkeypatch.setattr(feature_cache, "code_hash", lambda *modules: str(hashed.append(modules)))
    floor_of(opened, tiny, 5)
    assert hashed == [("facegen.scoring.reference",)]


def test_a_damaged_cache_is_computed_anew(
    tiny: FeatureExtractor, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = open_reference(folder, tiny)
    (file,) = stored_files()
    file.write_bytes(file.read_bytes()[:200])
    np.testing.assert_array_equal(open_reference(folder, tiny).statistics.mu, first.statistics.mu)
    assert "anew" in capsys.readouterr().err


def test_saved_statistics_can_be_read_back_by_numpy_alone(tiny: FeatureExtractor, folder: Path, tmp_path: Path) -> None:
    computed = open_reference(folder, tiny)
    save_reference(computed, tiny, tmp_path / "stats.npz")
    with np.load(tmp_path / "stats.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["mu"], computed.statistics.mu)
        np.testing.assert_array_equal(file["sigma"], computed.statistics.sigma)
        assert (int(file["n"]), str(file["extractor"])) == (20, "tiny")
    assert open_reference(tmp_path / "stats.npz", tiny).statistics.n == 20


@pytest.fixture
def split(tmp_path: Path, pixels: np.ndarray) -> Path:
    """A dataset of 12 train, 5 valid and 3 test images."""
    with new_dataset(tmp_path / "split", 16) as writer:
        writer.append(pixels, [f"{i}.png" for i in range(20)], ["train"] * 12 + ["valid"] * 5 + ["test"] * 3)
        writer.finish({})
    return tmp_path / "split"


def test_a_train_split_is_the_reference_and_the_others_are_held_out(
    tiny: FeatureExtractor, split: Path, pixels: np.ndarray
) -> None:
    found = open_reference(split, tiny)
    features = tiny(list(pixels))
    np.testing.assert_allclose(found.statistics.mu, features[:12].mean(0), rtol=1e-6)
    assert (found.statistics.n, found.description) == (12, "12 train images")
    assert found.sha256 != open_images(split).sha256
    assert found.real is not None and found.heldout is not None
    np.testing.assert_allclose(found.real.features, features[:12], rtol=1e-6)
    np.testing.assert_allclose(found.heldout.features, features[12:], rtol=1e-6)
    assert list(found.heldout.images.names) == [f"{i}.png" for i in range(12, 20)]
    assert [pool.within for pool in found.pools] == [False, True]


@pytest.mark.parametrize("splits", [["train"] * 20, ["valid"] * 20, ["train"] * 19 + ["test"], ["valid", "test"] * 10])
def test_without_two_parts_all_images_are_the_reference(
    tiny: FeatureExtractor, tmp_path: Path, pixels: np.ndarray, splits: list[str]
) -> None:
    with new_dataset(tmp_path / "whole", 16) as writer:
        writer.append(pixels, [f"{i}.png" for i in range(20)], splits)
        writer.finish({})
    found = open_reference(tmp_path / "whole", tiny)
    assert (found.statistics.n, found.sha256) == (20, open_images(tmp_path / "whole").sha256)
    assert found.heldout is None and [pool.within for pool in found.pools] == [True]


def test_what_is_read_back_is_what_was_computed(tiny: FeatureExtractor, split: Path) -> None:
    first, again = open_reference(split, tiny), open_reference(split, tiny)
    for one, other in ((first.real, again.real), (first.heldout, again.heldout)):
        assert one is not None and other is not None
        np.testing.assert_array_equal(one.features, other.features)
    assert (
        first.properties is not None
        and again.properties is not None
        and first.properties.sizes == again.properties.sizes
    )
    assert again.properties.sizes == ((16, 16, 12),)


class TestFloor:
    def test_draws_come_from_the_held_out_images(self, tiny: FeatureExtractor, split: Path, pixels: np.ndarray) -> None:
        found = open_reference(split, tiny)
        floor = floor_of(found, tiny, 8)
        assert floor is not None and floor.reference_n == 12
        expected = frechet_distance(frechet_statistics(tiny(list(pixels[12:]))), found.statistics)
        assert floor.value == pytest.approx(expected, rel=1e-6)

    def test_draws_are_left_out_of_a_reference_without_held_out_images(
        self, tiny: FeatureExtractor, folder: Path
    ) -> None:
        floor = floor_of(open_reference(folder, tiny), tiny, 5)
        assert floor is not None and floor.reference_n == 15

    def test_is_computed_once_for_each_n(
        self, tiny: FeatureExtractor, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = open_reference(folder, tiny)
        first = floor_of(found, tiny, 5)
        with monkeypatch.context() as patch:
            patch.setattr(reference, "frechet_floor", None)
            assert floor_of(found, tiny, 5) == first
        assert floor_of(found, tiny, 6) != first

    @pytest.mark.parametrize("n", [2, 11, 1000])
    def test_is_unknown_with_too_few_real_images(self, tiny: FeatureExtractor, folder: Path, n: int) -> None:
        assert floor_of(open_reference(folder, tiny), tiny, n) is None

    def test_is_unknown_with_another_projects_statistics(self, tiny: FeatureExtractor, tmp_path: Path) -> None:
        assert (
            floor_of(open_reference(write(tmp_path / "t.npz", mu=np.zeros(12), sigma=np.eye(12)), tiny), tiny, 5)
            is None
        )

    @pytest.mark.parametrize("form", ["folder", "split"])
    def test_saved_statistics_have_it_too(
        self, tiny: FeatureExtractor, form: str, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        computed = open_reference(request.getfixturevalue(form), tiny)
        save_reference(computed, tiny, tmp_path / "stats.npz")
        saved = open_reference(tmp_path / "stats.npz", tiny)
        assert floor_of(saved, tiny, 5) == floor_of(computed, tiny, 5) is not None
        assert saved.properties is not None and saved.properties.sizes == ((16, 16, computed.statistics.n),)

    def test_saved_statistics_tell_of_the_images_what_the_images_told(
        self, tiny: FeatureExtractor, split: Path, tmp_path: Path
    ) -> None:
        computed = open_reference(split, tiny)
        assert computed.properties is not None and computed.properties.crop == "the course's crop"
        told = replace(computed.properties, losses=((ALPHA_DROPPED, 3), (CLIPPED, 1)))
        save_reference(replace(computed, properties=told), tiny, tmp_path / "stats.npz")
        saved = open_reference(tmp_path / "stats.npz", tiny).properties
        assert saved is not None
        np.testing.assert_equal(asdict(saved), asdict(told))

    def test_statistics_of_earlier_times_tell_less(self, tiny: FeatureExtractor, tmp_path: Path) -> None:
        arrays = {"mu": np.zeros(12), "sigma": np.eye(12), "sizes": np.array([[16, 16, 9]]), "sign": ""}
        known = open_reference(write(tmp_path / "old.npz", **arrays), tiny).properties
        assert known is not None
        assert (known.colours, known.mean, known.crop, known.losses) == (None, None, None, ())


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
        ({"mu": np.zeros(12, complex), "sigma": np.eye(12)}, "not real numbers"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "n": np.array(-3)}, "not a number of images"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "extractor": np.array("inception")}, "another extractor"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "weights_sha256": np.array("1" * 64)}, "another extractor"),
        ({"mu": np.zeros(12), "sigma": np.eye(12), "pool": np.zeros((3, 5)), "pool_within": True}, "pool of features"),
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


@pytest.mark.parametrize("digits", ["value", "spread"])
def test_a_stored_floor_that_changed_is_measured_anew(tiny: FeatureExtractor, folder: Path, digits: str) -> None:
    opened = open_reference(folder, tiny)
    first = floor_of(opened, tiny, 5)
    (stored,) = (cache_folder() / "references").glob("*-floor-5.json")
    fields = json.loads(stored.read_text(encoding="utf-8"))
    stored.write_text(json.dumps({**fields, digits: fields[digits] * 2}), encoding="utf-8")
    assert floor_of(opened, tiny, 5) == first
