"""The score against pytorch-fid's own code, on its own network with seeded random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid import inception as pytorch_inception

from facegen.checks.reference_fid import reference_distance, reference_network, reference_score, seeded_weights
from facegen.errors import InputError
from facegen.extractors import feature_extractor, table
from facegen.files import sha256_file
from facegen.scoring.in_memory import Scorer
from facegen.scoring.scorer import open_scorer
from facegen.stages.fid import fid
from facegen.weights.published import INCEPTION

FEW, MANY = (5, 6), (66, 68)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(seeded_weights(), path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of 5 to 68 smooth random pictures, 64×64."""
    folders = {}
    for n in (*FEW, *MANY):
        random = np.random.default_rng(n)
        folders[n] = tmp_path_factory.mktemp(f"images{n}")
        for index in range(n):
            coarse = random.integers(0, 256, (5 + n % 3, 5, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(folders[n] / f"{index:03}.png")
    return folders


@pytest.fixture(scope="module")
def theirs(weights: Path) -> torch.nn.Module:
    """pytorch-fid's network at every cut."""
    return reference_network(torch.load(weights, weights_only=True), (64, 192, 768, 2048))


def their_features(network: torch.nn.Module, folder: Path, dims: int) -> np.ndarray:
    """pytorch-fid's features of a folder: its dataset, its batches of 50, its pooling."""
    network.output_blocks = [pytorch_inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]]
    network.last_needed_block = network.output_blocks[0]
    return fid_score.get_activations(sorted(folder.glob("*.png")), network, 50, dims, "cpu", num_workers=0)


@pytest.mark.parametrize(
    ("dims", "counts"),
    [(64, FEW), (192, FEW), (768, FEW), (2048, FEW), (64, MANY)],
    ids=lambda value: str(value),
)
def test_equals_pytorch_fid(
    dims: int, counts: tuple[int, int], weights: Path, folders: dict[int, Path], theirs: torch.nn.Module
) -> None:
    first, second = (folders[n] for n in counts)
    expected = reference_score(their_features(theirs, first, dims), their_features(theirs, second, dims))
    score = fid(first, second, weights=weights, dims=dims, device="cpu")
    assert score.value == pytest.approx(expected, rel=1e-4)
    assert (score.n, score.reference_n, score.dims) == (*counts, dims)
    assert (score.metric, score.extractor, score.target, score.passed) == ("fd", "inception-custom", None, None)


def test_images_in_memory_equal_pytorch_fid_and_the_files(
    weights: Path, folders: dict[int, Path], theirs: torch.nn.Module
) -> None:
    scorer = Scorer(folders[6], weights=weights, dims=64, device="cpu")
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(folders[5].glob("*.png"))])
    for part in np.split(images, [1, 4]):
        scorer.update(torch.from_numpy(part).permute(0, 3, 1, 2))
    score = scorer.compute()
    assert score == fid(folders[5], folders[6], weights=weights, dims=64, device="cpu")
    expected = reference_score(*(their_features(theirs, folders[n], 64) for n in (5, 6)))
    assert score.value == pytest.approx(expected, rel=1e-4)


def test_takes_pytorch_fids_statistics(
    weights: Path, folders: dict[int, Path], theirs: torch.nn.Module, tmp_path: Path
) -> None:
    features = their_features(theirs, folders[6], 64)
    np.savez_compressed(tmp_path / "stats.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    by_statistics = fid(folders[5], tmp_path / "stats.npz", weights=weights, dims=64, device="cpu")
    by_images = fid(folders[5], folders[6], weights=weights, dims=64, device="cpu")
    assert by_statistics.value == pytest.approx(by_images.value, rel=1e-5)
    assert by_statistics.reference_n is None


def test_half_precision_weights_without_a_classifier_are_widened(
    weights: Path, folders: dict[int, Path], tmp_path: Path
) -> None:
    full = torch.load(weights, weights_only=True)
    half = {key: value.half() for key, value in full.items() if not key.startswith("fc.") and value.ndim}
    torch.save(half, tmp_path / "half.pth")
    torch.save({**full, **{key: value.float() for key, value in half.items()}}, tmp_path / "widened.pth")
    values = [
        fid(folders[5], folders[6], weights=tmp_path / f"{name}.pth", dims=64, device="cpu").value
        for name in ("half", "widened")
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(("published", "name", "target"), [(True, "FID", 20.0), (False, "inception-custom FD", None)])
def test_only_the_published_weights_are_fid(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bool, name: str, target: float | None
) -> None:
    if published:
        random = replace(INCEPTION, sha256=sha256_file(weights))
        monkeypatch.setitem(table._TABLE, "inception", replace(table._TABLE["inception"], weights=random))
    np.savez(tmp_path / "stats.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    scorer = open_scorer(tmp_path / "stats.npz", weights=weights, device="cpu")
    assert (scorer.label, scorer.target) == (name, target)


def test_a_batch_of_any_size_gives_the_same_value(
    weights: Path, folders: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = fid(folders[6], folders[5], weights=weights, dims=64, device="cpu").value
    monkeypatch.setattr(feature_extractor, "CPU_BATCH", 3)
    assert fid(folders[6], folders[5], weights=weights, dims=64, device="cpu").value == pytest.approx(at_once, rel=1e-5)


def test_saved_statistics_score_like_the_images(weights: Path, folders: dict[int, Path], tmp_path: Path) -> None:
    saved = tmp_path / "reference.npz"
    by_images = fid(folders[5], folders[6], weights=weights, dims=64, device="cpu", save_stats=saved)
    by_statistics = fid(folders[5], saved, weights=weights, dims=64, device="cpu")
    assert (by_statistics.value, by_statistics.reference_n) == (by_images.value, 6)


def test_statistics_are_not_saved_under_another_suffix(folders: dict[int, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reference\.txt does not end in \.npz"):
        fid(folders[5], folders[6], save_stats=tmp_path / "reference.txt")


def test_a_corrupt_image_is_named(weights: Path, folders: dict[int, Path], tmp_path: Path) -> None:
    for source in folders[5].iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "003.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    with pytest.raises(InputError, match=r"003\.png"):
        fid(tmp_path, folders[6], weights=weights, dims=64, device="cpu")


def test_one_image_is_refused_before_the_reference_is_read(folders: dict[int, Path], tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes((folders[5] / "000.png").read_bytes())
    with pytest.raises(InputError, match="has 1 image:"):
        fid(tmp_path, tmp_path / "absent", extractor="effnet-lite0")


class TestStatistics:
    """Either side may be statistics, as pytorch-fid allows. Nothing here takes a network but where images are."""

    @pytest.fixture
    def pair(self, tmp_path: Path) -> tuple[Path, Path]:
        """Two files in pytorch-fid's layout, 64 dims."""
        for seed, name in enumerate("ab"):
            features = np.random.default_rng(seed).normal(seed / 4, 1, (90, 64))
            np.savez(tmp_path / f"{name}.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
        return tmp_path / "a.npz", tmp_path / "b.npz"

    def test_on_both_sides_give_pytorch_fids_value(self, pair: tuple[Path, Path]) -> None:
        first, second = (np.load(path) for path in pair)
        expected = reference_distance(first["mu"], first["sigma"], second["mu"], second["sigma"])
        score = fid(*pair, extractor="inception")  # whose weights are not there
        assert score.value == pytest.approx(expected, rel=1e-6)
        assert (score.n, score.reference_n, score.interval95, score.floor) == (None, None, None, None)
        assert (score.extractor, score.dims, score.metric) == ("inception-2015-12-05", 64, "fd")

    def test_that_name_no_network_are_said_to_be_taken_for_one(self, pair: tuple[Path, Path]) -> None:
        said = [any("inception-2015-12-05 is assumed" in each for each in score.warnings) for score in (
            fid(*pair), fid(*pair, extractor="inception")
        )]  # fmt: skip
        assert said == [True, False]

    def test_in_place_of_the_images_score_like_them(
        self, weights: Path, folders: dict[int, Path], tmp_path: Path
    ) -> None:
        saved, options = tmp_path / "images.npz", {"weights": weights, "device": "cpu"}
        by_images = fid(folders[6], folders[5], dims=64, save_stats=tmp_path / "reference.npz", **options)  # type: ignore[arg-type]
        fid(folders[6], folders[6], dims=64, save_stats=saved, **options)  # type: ignore[arg-type]
        by_statistics = fid(saved, folders[5], **options)  # type: ignore[arg-type] # dims are the file's
        assert by_statistics.value == pytest.approx(by_images.value, rel=1e-6)
        assert (by_statistics.n, by_statistics.dims, by_statistics.interval95) == (6, 64, None)
        both = fid(saved, tmp_path / "reference.npz")  # which name their network
        assert (both.value, both.extractor) == (pytest.approx(by_images.value, rel=1e-6), "inception-custom")

    @pytest.mark.parametrize("side", [0, 1])
    @pytest.mark.parametrize(
        ("options", "said"), [({"all_metrics": True}, "--all-metrics"), ({"report": "r"}, "--report")]
    )
    def test_have_no_other_metrics(
        self, side: int, options: dict[str, object], said: str, pair: tuple[Path, Path], folders: dict[int, Path]
    ) -> None:
        sides = [folders[66], folders[66]]
        sides[side] = pair[0]
        with pytest.raises(InputError, match=rf"a\.npz holds statistics, and {said} needs the images"):
            fid(*sides, **options)  # type: ignore[arg-type]

    def test_of_two_extractors_are_not_compared(self, pair: tuple[Path, Path]) -> None:
        for path, name in zip(pair, ("inception-2015-12-05", "effnet-lite0"), strict=True):
            np.savez(path, **np.load(path), extractor=name)
        with pytest.raises(InputError, match="made with another extractor"):
            fid(*pair)

    def test_of_dims_that_no_extractor_has_ask_for_one(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", mu=np.zeros(5), sigma=np.eye(5))
        with pytest.raises(InputError, match=r"a\.npz does not say which network made it.*5 dims.*--extractor"):
            fid(tmp_path / "a.npz", tmp_path / "a.npz")

    def test_without_any_spread_are_warned_of(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", mu=np.zeros(64), sigma=np.zeros((64, 64)))
        np.savez(tmp_path / "b.npz", mu=np.ones(64), sigma=np.eye(64))
        score = fid(tmp_path / "a.npz", tmp_path / "b.npz", extractor="inception")
        assert score.value == 128 and any("covariance is zero" in warning for warning in score.warnings)
