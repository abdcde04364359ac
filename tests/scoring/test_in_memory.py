"""facegen.Scorer: images in memory, scored as the same images in files are.

That the value is pytorch-fid's is tested in tests/stages/test_fid.py, beside the same of files.
"""

from __future__ import annotations

import gc
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.utils import save_image

import facegen
from facegen.errors import InputError
from facegen.scoring.image_batches import as_pixels

Pixels = npt.NDArray[np.uint8]


def smooth(count: int, seed: int, size: int = 24) -> Pixels:
    """Smooth random pictures, uint8 [count, size, size, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((size, size), 2)) for each in coarse])


def saved(pixels: Pixels, folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An extractor without a network: the colours of four tiles, 12 features."""
    source = "def tiles(images):\n    n = len(images)\n    size = images.shape[1] // 2\n"
    source += (
        "    cut = images.reshape(n, 2, size, 2, size, 3)\n    return cut.mean(axis=(2, 4)).reshape(n, 12) / 255\n"
    )
    (tmp_path / "quick_tiles.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "quick_tiles:tiles"


@pytest.fixture
def scorer(quick: str) -> facegen.Scorer:
    return facegen.Scorer(smooth(60, 1), extractor=quick)


@pytest.mark.parametrize("sizes", [[60], [1] * 17 + [43], [7, 8, 9, 17, 19]], ids=["whole", "single", "mixed"])
def test_in_any_batches_the_score_is_that_of_the_files(sizes: list[int], quick: str, tmp_path: Path) -> None:
    """All of the score, with a compute after each batch: what it says in between alters nothing."""
    images, real = saved(smooth(60, 2), tmp_path / "images"), saved(smooth(70, 1), tmp_path / "real")
    scorer = facegen.Scorer(real, extractor=quick, target=5.0)
    for part in np.split(smooth(60, 2), np.cumsum(sizes)[:-1]):
        scorer.update(part)
        if scorer.n > 1:
            scorer.compute()
    assert scorer.compute() == facegen.fid(images, real, extractor=quick, target=5.0)
    with_all = facegen.fid(images, real, extractor=quick, target=5.0, all_metrics=True)
    assert scorer.compute(all_metrics=True) == with_all


def test_a_reference_in_memory_is_as_one_in_files(quick: str, scorer: facegen.Scorer, tmp_path: Path) -> None:
    from_files = facegen.Scorer(saved(smooth(60, 1), tmp_path / "real"), extractor=quick)
    tensor = facegen.Scorer(torch.from_numpy(smooth(60, 1)).permute(0, 3, 1, 2), extractor=quick)
    for each in (scorer, from_files, tensor):
        each.update(smooth(50, 2))
    files, array, channels_first = (each.compute(all_metrics=True) for each in (from_files, scorer, tensor))
    assert array == channels_first
    assert (array.value, array.floor, array.metrics) == (files.value, files.floor, files.metrics)
    assert array.reference_n == 60


def test_a_reset_leaves_the_reference_alone(scorer: facegen.Scorer) -> None:
    scorer.update(smooth(30, 2))
    first = scorer.compute()
    scorer.reset()
    assert scorer.n == 0
    scorer.update(smooth(30, 2))
    assert scorer.compute() == first == scorer.compute()


def test_images_of_several_sizes_are_taken_and_warned_of(scorer: facegen.Scorer) -> None:
    scorer.update(smooth(3, 2, 24))
    scorer.update(smooth(3, 3, 32))
    assert any("2 sizes" in warning for warning in scorer.compute().warnings)


def test_an_array_that_is_filled_anew_is_not_seen_twice(quick: str) -> None:
    scorers = [facegen.Scorer(smooth(60, 1), extractor=quick) for _ in range(2)]
    for scorer, buffer in zip(scorers, (np.empty((3, 24, 24, 3), np.uint8), None), strict=True):
        for seed in range(3):
            images = smooth(3, seed)
            if buffer is not None:
                buffer[:] = images
            scorer.update(images if buffer is None else buffer)
    assert scorers[0].compute() == scorers[1].compute()


class TestFloats:
    def test_are_bytes_as_torchvision_saves_them(self, tmp_path: Path) -> None:
        values = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
        save_image(values, tmp_path / "saved.png")
        found = as_pixels(values[None], "The images", value_range=(0, 1))
        np.testing.assert_array_equal(found[0], np.asarray(Image.open(tmp_path / "saved.png")))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255), (-2.0, 6)])
    def test_of_any_range_are_the_bytes_that_they_were(
        self, dtype: torch.dtype, value_range: tuple[float, float]
    ) -> None:
        low, high = value_range
        pixels = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
        values = (pixels.to(dtype) / 255 * (high - low) + low).requires_grad_()
        found = as_pixels(values, "The images", value_range=value_range)
        np.testing.assert_array_equal(found, pixels.permute(0, 2, 3, 1).numpy())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_in_half_precision_are_rounded_once(self, dtype: torch.dtype) -> None:
        values = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
        expected = (values.double() * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        np.testing.assert_array_equal(as_pixels(values, "The images", value_range=(0, 1)), expected.numpy())

    def test_rounding_beyond_the_range_is_its_end(self) -> None:
        values = torch.tensor([-1.003, 1.003]).repeat(1, 3, 4, 1)
        assert as_pixels(values, "The images", value_range=(-1, 1)).ravel()[[0, 3]].tolist() == [0, 255]


class TestLayouts:
    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_what_can_be_read_in_two_ways_is_read_as_is_said(self, layout: str) -> None:
        images = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
        expected = images.transpose(0, 2, 3, 1) if layout == "NCHW" else images
        np.testing.assert_array_equal(as_pixels(images, "The images", layout=layout), expected)

    @given(
        shape=st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=5),
        kind=st.sampled_from(["uint8", "int64", "float32", "float16", "bool", "complex64", ">f4", "U1", "object"]),
        layout=st.sampled_from([None, "NCHW", "NHWC"]),
    )
    def test_whatever_the_array_it_is_pixels_or_a_sentence(
        self, shape: list[int], kind: str, layout: str | None
    ) -> None:
        try:
            pixels = as_pixels(np.zeros(shape, kind), "The images", layout=layout, value_range=(0, 1))
        except InputError as problem:
            assert problem.remedy
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] == 3 and 0 not in pixels.shape


GREY, SMALL = np.zeros((2, 1, 8, 8), np.uint8), np.zeros((2, 3, 8, 8), np.float32)


class TestRefusals:
    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (SMALL, "value_range"),
            (np.zeros((2, 3, 8, 8), np.int64), "images are uint8 from 0 to 255"),
            (torch.zeros(2, 3, 8, 8, dtype=torch.bool), "images are uint8 from 0 to 255"),
            (np.zeros((2, 3, 64, 3), np.uint8), 'layout="NCHW"'),
            (np.zeros((3, 3, 3, 3), np.uint8), 'layout="NCHW"'),
            (torch.zeros(3, 8, 8, dtype=torch.uint8), r"images\[None\]"),
            (np.zeros((8, 8, 3), np.uint8), r"images\[None\]"),
            (GREY, "grey"),
            (GREY[:, 0], "grey"),
            (np.zeros((2, 4, 8, 8), np.uint8), "Convert them to RGB"),
            (np.zeros((0, 3, 8, 8), np.uint8), "empty batch"),
            (np.zeros((2, 3, 0, 8), np.uint8), "no pixels"),
            ([SMALL[0], SMALL[1]], "stack"),
            ("images", "not an array or tensor"),
            (np.array([["a"]]), "images are uint8"),
        ],
    )
    def test_are_one_sentence_and_take_nothing(self, images: Any, words: str, scorer: facegen.Scorer) -> None:
        with pytest.raises(InputError, match=words) as caught:
            scorer.update(images)
        assert caught.value.remedy and scorer.n == 0

    @pytest.mark.parametrize(
        ("value", "words"),
        [(float("nan"), "NaN or infinity"), (float("inf"), "NaN or infinity"), (1.01, "clamp"), (-0.01, "clamp")],
    )
    def test_values_that_are_no_brightness(self, value: float, words: str) -> None:
        images = SMALL.copy()
        images[1, 2, 3, 4] = value
        with pytest.raises(InputError, match=words):
            as_pixels(images, "The images", value_range=(0, 1))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"layout": "NCWH"}, "There is no layout 'NCWH'"),
            ({"value_range": (1, -1)}, "the lower first"),
            ({"value_range": (0, float("nan"))}, "the lower first"),
            ({"value_range": 1}, "the lower first"),
            ({"target": -1}, "target is -1"),
        ],
    )
    def test_of_options(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(InputError, match=words):
            facegen.Scorer(smooth(3, 1), **options)

    def test_of_another_layout_than_was_said(self) -> None:
        with pytest.raises(InputError, match=r"said to be NCHW, and the images are \[2, 8, 8, 3\]"):
            as_pixels(np.zeros((2, 8, 8, 3), np.uint8), "The images", layout="NCHW")

    def test_of_a_reference(self, quick: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="The reference's images are floating-point"):
            facegen.Scorer(SMALL, extractor=quick)
        with pytest.raises(InputError, match="The reference in memory has 1 image"):
            facegen.Scorer(smooth(1, 1), extractor=quick)
        with pytest.raises(InputError, match="absent"):
            facegen.Scorer(tmp_path / "absent", extractor=quick)

    @pytest.mark.parametrize("count", [0, 1])
    def test_of_too_few_images(self, count: int, scorer: facegen.Scorer) -> None:
        if count:
            scorer.update(smooth(count, 2))
        with pytest.raises(InputError, match=f"has {count} image"):
            scorer.compute()

    def test_of_all_metrics_where_they_say_nothing(self, scorer: facegen.Scorer) -> None:
        scorer.update(smooth(49, 2))
        with pytest.raises(InputError, match="at least 50 images; there are 49"):
            scorer.compute(all_metrics=True)

    def test_of_a_pass_that_was_broken_off(self, scorer: facegen.Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken_off(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("facegen.metrics.frechet.RunningStatistics.update", broken_off)
            scorer.update(smooth(20, 2))
        with pytest.raises(InputError, match="broken off"):
            scorer.compute()
        scorer.reset()
        scorer.update(smooth(20, 2))
        assert scorer.compute().n == 20


def test_the_caller_stays_as_it_was_and_counts_for_nothing(tmp_path: Path) -> None:
    """With a network that draws weights as it is built: the state of the caller's training is left alone."""
    real, images = smooth(12, 1, 32), smooth(9, 2, 32)

    def state() -> list[Any]:
        flags = torch.backends.cudnn
        return [
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),  # type: ignore[index]
            random.getstate(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            (flags.enabled, flags.benchmark, flags.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        ]

    def score() -> tuple[facegen.Score, list[Any], list[Any]]:
        before = state()
        scorer = facegen.Scorer(real, extractor="effnet-lite0", device="cpu")
        scorer.update(images)
        return scorer.compute(), before, state()

    plain, before, after = score()
    assert before == after
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            disturbed, before, after = score()
    finally:
        torch.set_default_dtype(torch.float32)
    assert before == after
    assert disturbed == plain


def test_a_scorer_that_goes_closes_its_file(quick: str) -> None:
    scorer = facegen.Scorer(smooth(5, 1), extractor=quick)
    file = scorer._passed._file
    del scorer
    gc.collect()
    assert file.closed
