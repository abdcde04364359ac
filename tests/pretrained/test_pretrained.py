"""The generator that ships: its files belong together, its images are recognised, and nobody trains with it."""

from __future__ import annotations

import ast
import importlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from facegen import pretrained
from facegen.errors import EnvironmentProblem, InputError
from facegen.gan.generators import build_generator, draw_images
from facegen.gan.latents import normal_latents
from facegen.grading.fingerprints import fingerprint
from facegen.grading.flags import Collections, Flag, SubmittedImages, flags_of
from facegen.grading.found import Found
from facegen.grading.grader import Grader
from facegen.metrics.phash import NEAR, Hashes, hamming_distances, perceptual_hashes
from facegen.pretrained import FINGERPRINTS, GENERATOR, IMAGES_PER_SEED, SEEDS, card, fingerprints, generator_path
from facegen.scoring.score import Score
from facegen.scoring.scorer import Measured
from facegen.stages.sample import generator_of
from facegen.submission.rules import Limits
from facegen.submission.writer import write_tarball
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import SavedGenerator, load_generator, save_generator
from facegen.weights.content import CONTENTS_SHA256, write_safetensors

ROOT = Path(__file__).parents[2]
Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def shipped() -> SavedGenerator:
    return load_generator(generator_path())


@pytest.fixture(scope="module")
def faces(shipped: SavedGenerator) -> Images:
    """The first 32 of seed 0."""
    return draw_images(shipped.network, normal_latents(0, 0, 32, shipped.recipe.latent_dim))


class TestFiles:
    def test_the_generator_is_float16_below_10_mb(self) -> None:
        assert generator_path().stat().st_size < 10_000_000
        with safe_open(generator_path(), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        wide = {
            name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.dtype != torch.float16
        }
        assert all(tensors[name].abs().max() > torch.finfo(torch.float16).max for name in wide)
        assert all(name.endswith("running_var") for name in wide)

    def test_it_becomes_a_float32_network(self, shipped: SavedGenerator) -> None:
        assert {parameter.dtype for parameter in shipped.network.parameters()} == {torch.float32}

    def test_it_draws_varied_64x64_images(self, faces: Images) -> None:
        assert faces.shape == (32, 64, 64, 3)
        assert faces.std(axis=0).mean() > 20 and faces.std(axis=(1, 2, 3)).min() > 10

    def test_its_images_are_the_fingerprinted_ones(self, faces: Images) -> None:
        hashes = fingerprints()
        assert hashes.shape == (SEEDS * IMAGES_PER_SEED, 4) and hashes.dtype == np.uint64
        assert np.diagonal(hamming_distances(perceptual_hashes(faces), hashes[:32])).max() <= NEAR

    def test_the_last_seed_is_fingerprinted_where_it_is_said(self, shipped: SavedGenerator) -> None:
        last = IMAGES_PER_SEED - 32
        images = draw_images(shipped.network, normal_latents(SEEDS - 1, last, 32, shipped.recipe.latent_dim))
        assert np.diagonal(hamming_distances(perceptual_hashes(images), fingerprints()[-32:])).max() <= NEAR

    def test_the_card_is_this_generators(self, shipped: SavedGenerator) -> None:
        text = card()
        assert f"`{shipped.recipe.name}`" in text and f"{shipped.kimg:,g} kimg" in text
        assert shipped.dataset_sha256 in text

    @pytest.mark.parametrize("word", ["non-commercial research only", "Not for identifying people", "floor", "hours"])
    def test_the_card_says(self, word: str) -> None:
        assert word in card()


def jpeg(image: Images) -> Images:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))


def pretrained_flags(images: Images, shipped: Hashes, likeness: float | None = None) -> list[Flag]:
    score, names = SCORE, [f"{i}.png" for i in range(len(images))]
    known = Collections(shipped=shipped)
    flags, _ = flags_of(SubmittedImages(images, names, fingerprint(images), score, known, likeness=likeness))
    return [flag for flag in flags if flag.name == "pretrained_generator"]


class TestFlag:
    @pytest.mark.parametrize("change", [lambda image: image, lambda image: image[:, ::-1], jpeg])
    def test_its_images_are_recognised(self, change: Callable[[Images], Images], faces: Images) -> None:
        images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
        images[7:10] = [change(face) for face in faces[:3]]
        (flag,) = pretrained_flags(images, fingerprints())
        assert "3 of 20 images" in flag.message and "facegen sample --pretrained" in flag.message
        assert {(example["image"], example["match"]) for example in flag.details["examples"]} == {
            (f"{7 + i}.png", f"seed 0, image {i + 1}") for i in range(3)
        }

    @pytest.mark.parametrize(("likeness", "flagged"), [(0.5, True), (0.4999, False), (None, False)])
    def test_its_weights_are_recognised_whatever_they_draw(self, likeness: float | None, flagged: bool) -> None:
        images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
        flags = pretrained_flags(images, fingerprints(), likeness)
        assert [(flag.details["weights"], flag.details["images"]) for flag in flags] == [(likeness, 0)] * flagged
        assert all("The weights resemble those of the generator that ships" in flag.message for flag in flags)

    def test_weights_and_images_are_told_in_one_flag(self, faces: Images) -> None:
        (flag,) = pretrained_flags(faces[:3], fingerprints(), 1.0)
        assert "(cosine 1.00). 3 of 3 images" in flag.message
        assert (flag.details["weights"], flag.details["images"]) == (1.0, 3)

    def test_another_generators_images_are_not(self) -> None:
        torch.manual_seed(1)
        other = build_generator("dcgan_generator", latent_dim=100, width=4, size=64).eval()
        for parameter in other.parameters():
            parameter.data.mul_(3)
        images = draw_images(other, normal_latents(0, 0, 64, 100))
        assert pretrained_flags(images, fingerprints()) == []


SCORE = Score("fd", 1.0, 9, 1, "constant", "0" * 64, 9, "1" * 64)


class ConstantScorer:
    key = features_key = "constant"

    def features_of(self, images: Images, description: str) -> npt.NDArray[np.float32]:
        return np.ones((len(images), 1), np.float32)

    def measure(self, *words: Any, **options: Any) -> Measured:
        return Measured(SCORE, np.empty(0))

    def metrics_of(self, features: npt.NDArray[np.float32]) -> dict[str, Any]:
        return {}

    def judged(self, score: Score) -> Score:
        return score


def test_a_submission_of_its_images_is_graded_and_flagged(faces: Images, tmp_path: Path) -> None:
    files = {f"{i:04d}.png": tmp_path / f"{i:04d}.png" for i in range(len(faces))}
    for path, face in zip(files.values(), faces, strict=True):
        Image.fromarray(face).save(path)
    write_tarball(files, tmp_path / "s1.tar.gz")
    cache, limits = tmp_path / "cache", Limits(count=len(faces))
    for shipped, flags in ((fingerprints(), ["pretrained_generator"]), (fingerprints()[1000:], [])):
        outcome = Grader(ConstantScorer(), Collections(shipped=shipped), cache, limits=limits).grade(
            Found.at(tmp_path / "s1.tar.gz")
        )
        assert outcome.graded is not None
        assert [flag.name for flag in outcome.graded.flags if flag.name == "pretrained_generator"] == flags


def users() -> dict[str, set[str]]:
    """What each module of facegen imports from facegen.pretrained."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "facegen").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "facegen.pretrained" in text or "import pretrained" in text:
            name = path.relative_to(ROOT / "facegen").as_posix()
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom):
                    origin = {f"{node.module}.{alias.name}": alias.name for alias in node.names}
                    found.setdefault(name, set()).update(
                        short for full, short in origin.items() if full.startswith("facegen.pretrained")
                    )
                elif isinstance(node, ast.Import):
                    assert not any(alias.name.startswith("facegen.pretrained") for alias in node.names)
    return {name: imported for name, imported in found.items() if imported}


def test_nothing_trains_or_scores_with_it_and_grading_recognises_it_alone() -> None:
    assert users() == {
        "cli/sample.py": {"generator_path"},
        "stages/sample.py": {"GENERATOR", "generator_path", "require_whole"},
        "grading/known_pictures.py": {"GENERATOR", "generator_path", "require_whole"},
        "grading/measures.py": {"fingerprints"},
        "grading/flags/copies.py": {"IMAGES_PER_SEED", "SEEDS"},
        "grading/generators.py": {"GENERATOR", "generator_path", "require_whole"},
    }


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """scripts/pretrained.py"""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("pretrained")
        sys.modules.pop("pretrained")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small generator as training saves one."""
    recipe = load_recipe("dcgan").with_overrides({"generator_width": 4})
    network = build_generator("dcgan_generator", latent_dim=recipe.latent_dim, width=4, size=64)
    path = tmp_path / "whole.safetensors"
    save_generator(path, network, recipe, size=64, dataset="ab", images_seen=1500, score=None)
    return path


class TestScript:
    def test_metadata_goes_along(self, script: ModuleType, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "half.safetensors"
        script.store_half(source, target)
        assert target.stat().st_size < 0.6 * source.stat().st_size
        with safe_open(source, "pt") as whole, safe_open(target, "pt") as half:
            said = [file.metadata() for file in (half, whole)]
        assert said[0].pop(CONTENTS_SHA256) != said[1].pop(CONTENTS_SHA256) and said[0] == said[1]
        whole, half = load_generator(source), load_generator(target)
        assert (half.recipe, half.kimg) == (whole.recipe, 1.5)

    def test_what_float16_cannot_hold_stays_float32(self, script: ModuleType, source: Path, tmp_path: Path) -> None:
        tensors = load_file(source)
        name = next(name for name in tensors if name.endswith("running_var"))
        tensors[name][0] = 1e6
        with safe_open(source, "pt") as file:
            write_safetensors(source, tensors, file.metadata())
        target = tmp_path / "half.safetensors"
        script.store_half(source, target)
        stored = load_file(target)
        torch.testing.assert_close(stored[name], tensors[name], rtol=0, atol=0)
        assert {tensor.dtype for other, tensor in stored.items() if other != name} <= {torch.float16, torch.int64}

    def test_what_is_not_finite_is_refused(self, script: ModuleType, source: Path, tmp_path: Path) -> None:
        tensors = load_file(source)
        next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = torch.nan
        with safe_open(source, "pt") as file:
            write_safetensors(source, tensors, file.metadata())
        with pytest.raises(InputError, match="not finite"):
            script.store_half(source, tmp_path / "half.safetensors")

    def test_what_is_too_large_is_refused(
        self, script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert script.MOST_BYTES == 10_000_000
        monkeypatch.setattr(script, "MOST_BYTES", 50_000)
        script.store_half(source, tmp_path / "half.safetensors")
        with pytest.raises(InputError, match="as float16, and at most"):
            script.require_small(tmp_path / "half.safetensors")

    def test_only_the_figures_of_the_card_change(self, script: ModuleType) -> None:
        page = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
        again = script.with_figures(script.with_figures(page, "newer"), "new")
        assert again == f"before\n{script.BEGIN}\n\nnew\n\n{script.END}\nafter\n"

    def test_hours_are_those_up_to_the_generator(self, script: ModuleType, tmp_path: Path) -> None:
        ticks = [{"kimg": 4.0, "seconds": 1800.0}, {"kimg": 8.0, "seconds": 3600.0}]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(tick) + "\n" for tick in ticks))
        assert script.training_hours(tmp_path, 4.0) == 0.5


@pytest.mark.parametrize("name", [GENERATOR, FINGERPRINTS])
def test_a_shipped_file_that_changed_is_damaged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(generator_path().parent, tmp_path / "shipped")
    monkeypatch.setattr(pretrained, "_FOLDER", (tmp_path / "shipped").resolve())
    with (tmp_path / "shipped" / name).open("rb+") as file:
        file.seek(5000)
        file.write(bytes([file.read(1)[0] ^ 1]))
    with pytest.raises(EnvironmentProblem, match=rf"{name} is damaged.*Install facegen again"):
        fingerprints() if name == FINGERPRINTS else generator_of(generator_path())
