"""A generator that is handed in: it draws what sample draws, and whatever else its file holds is a rejection."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from facegen.cnn.architecture import GENERATOR, Architecture
from facegen.cnn.dcgan import DCGANGenerator
from facegen.cnn.registry import ARCHITECTURES
from facegen.data.origin import Origin
from facegen.grading import generators
from facegen.grading.flags import Collections
from facegen.grading.found import Found
from facegen.grading.generators import GeneratorReader, likeness_to_shipped, multiply_adds
from facegen.grading.grader import Grader
from facegen.pretrained import generator_path
from facegen.stages.sample import sample
from facegen.submission.open_tarball import UnreadableTarball, open_tarball
from facegen.submission.reader import Submission
from facegen.submission.rules import GENERATOR_SUFFIX, Limits, Rejection
from facegen.training.networks import build_networks, generator_of_recipe
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.saved_generator import load_generator, save_generator
from facegen.weights.content import read_safetensors, write_safetensors

CPU = torch.device("cpu")
LIMITS = Limits(count=40, size=32, suffix=GENERATOR_SUFFIX)
Tensors, Metadata = dict[str, Tensor], dict[str, str]
Change = Callable[[Tensors, Metadata], object]
RECIPE = load_recipe("dcgan").with_overrides(
    {"name": "tiny", "generator_width": 2, "latent_dim": 4, "discriminator_width": 2}
)


def unchanged(_: Tensors, __: Metadata) -> None:
    """As facegen train writes it."""


def written(folder: Path, change: Change = unchanged, recipe: Recipe = RECIPE) -> Path:
    """A generator of random weights as ``s1.safetensors``, after a change to its tensors and metadata."""
    path = folder / "s1.safetensors"
    save_generator(path, build_networks(recipe, 32)[0], recipe, size=32, dataset="ab", images_seen=0, score=None)
    tensors, metadata = read_safetensors(path)
    change(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    return path


def read(path: Path, seed: int | None = None, limits: Limits = LIMITS) -> Submission:
    with open_tarball(path, limits) as file:
        return GeneratorReader(seed, CPU)(file, "s1", limits)


def refused(path: Path, limits: Limits = LIMITS) -> tuple[str, str]:
    with pytest.raises(Rejection) as caught:
        read(path, limits=limits)
    return caught.value.code.value, caught.value.message


def says(**metadata: str) -> Change:
    return lambda _, known: known.update(metadata)


def has(**fields: Any) -> Change:
    """A change of the recipe's fields."""
    return lambda _, known: known.update(recipe=json.dumps({**json.loads(known["recipe"]), **fields}))


def holds(name: str, tensor: Tensor) -> Change:
    return lambda tensors, _: tensors.update({name: tensor})


def every(value: float) -> Change:
    def fill(tensors: Tensors, _: Metadata) -> None:
        tensors.update({name: torch.full_like(each, value) for name, each in tensors.items() if each.dim()})

    return fill


@pytest.mark.parametrize("chroma", [0.0, 0.7])
def test_it_draws_to_the_pixel_what_sample_draws(tmp_path: Path, chroma: float) -> None:
    path = written(tmp_path, recipe=RECIPE.with_overrides({"chroma_cutoff": chroma}))
    sample(path, tmp_path / "images", n=40, seed=7, device="cpu")
    submission = read(path, 7)
    assert submission.names == tuple(sorted(file.name for file in (tmp_path / "images").iterdir()))
    drawn = np.stack([np.asarray(Image.open(tmp_path / "images" / name)) for name in submission.names])
    np.testing.assert_array_equal(submission.images, drawn)


@pytest.mark.parametrize(
    ("own", "course", "taken", "note"),
    [
        (None, None, 0, "Drawn here with seed 0: the file names no seed."),
        ("7", None, 7, "Drawn here with seed 7."),
        ("7", 3, 3, "Drawn here with the course's seed 3; its own seed, 7, was not used."),
        ("3", 3, 3, "Drawn here with the course's seed 3."),
        (str(2**63 - 1), None, 2**63 - 1, "Drawn here with seed 9223372036854775807."),
    ],
)
def test_the_courses_seed_goes_before_the_students(
    tmp_path: Path, own: str | None, course: int | None, taken: int, note: str
) -> None:
    path = written(tmp_path, unchanged if own is None else says(seed=own))
    submission = read(path, course)
    assert submission.notes == (note,)
    np.testing.assert_array_equal(submission.images, read(path, taken).images)


def test_another_seed_draws_others(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert not np.array_equal(read(path, 1).images, read(path, 2).images)


def test_what_it_was_trained_against_goes_with_its_images(tmp_path: Path) -> None:
    assert read(written(tmp_path, says(trained_against="mean"))).origin == Origin(None, "mean")


def test_a_discriminator_that_is_registered_elsewhere_alone_does_not_matter(tmp_path: Path) -> None:
    images = read(written(tmp_path)).images
    np.testing.assert_array_equal(read(written(tmp_path, has(discriminator="my_own"))).images, images)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (says(format="pt"), "not_generator", "holds no generator of this version"),
        (says(schema="2"), "not_generator", "holds no generator of this version"),
        (lambda _, known: known.clear(), "not_generator", "holds no generator of this version"),
        (lambda _, known: known.pop("recipe"), "not_generator", "KeyError: 'recipe'"),
        (says(recipe="[" * 100_000), "not_generator", "RecursionError"),
        (says(recipe="[1]"), "not_generator", "must be a table of hyperparameters"),
        (says(recipe="{"), "not_generator", "facegen does not write such metadata"),
        (has(colour="red"), "not_generator", "'colour', which is not a hyperparameter"),
        (has(name="long" * 50_000, latent_dim=0), "not_generator", "from 1 to 16,384"),
        (has(latent_dim=16_385), "not_generator", "latent_dim must be from 1 to 16,384"),
        (has(generator_width="2"), "not_generator", "must be int"),
        (has(generator=["dcgan_generator"]), "not_generator", "must be str"),
        (has(generator="resnet50"), "not_generator", "must be one of"),
        (has(generator="mine\n"), "unknown_architecture", r"The generator's architecture is 'mine\u000a'."),
        (says(seed="-1"), "not_generator", "The file's seed is '-1'"),
        (says(seed="٣"), "not_generator", "The file's seed is"),
        (says(seed=str(2**63)), "not_generator", "The file's seed is '9223372036854775808'"),
        (says(size="64"), "wrong_size", "64x64 pixels, not 32x32"),
        (says(size="9" * 5000), "not_generator", "Exceeds the limit"),
        (has(generator_width=3), "wrong_weights", "does not fit its own recipe"),
        (has(latent_dim=5), "wrong_weights", "does not fit its own recipe"),
        (has(generator="sngan_generator"), "wrong_weights", "tensors are missing"),
        (has(generator_width=4096, latent_dim=16_384), "generator_too_large", "billion multiply-adds, above 16.00"),
        (says(kimg="nan"), "wrong_weights", "not nan"),
        (says(trained_against="a\nb"), "wrong_weights", "cannot be named"),
        (holds("more", torch.zeros(2)), "wrong_weights", "1 tensors of another network, the first is more"),
        (lambda tensors, _: tensors.popitem(), "wrong_weights", "1 of its"),
        (lambda tensors, _: tensors.clear(), "wrong_weights", "tensors are missing"),
        (holds("project.conv.weight", torch.zeros(0)), "wrong_weights", "project.conv.weight is torch.float32 [0]"),
        (holds("project.conv.weight", torch.zeros(4, 8, 4, 4).double()), "wrong_weights", "torch.float64"),
        (holds("project.conv.weight", torch.zeros(4, 8, 4, 4).to(torch.float8_e5m2)), "wrong_weights", "float8"),
        (every(float("nan")), "wrong_weights", "NaN or infinity"),
        (every(float("inf")), "wrong_weights", "NaN or infinity"),
        (every(0), "draws_no_images", "every pixel has the same colour"),
        (every(3e38), "draws_no_images", "NaN or infinity"),
    ],
)
def test_what_no_run_of_facegens_wrote_is_refused(tmp_path: Path, change: Change, code: str, words: str) -> None:
    path = written(tmp_path, change)
    found, message = refused(path)
    assert (found, words in message) == (code, True), (found, message)
    assert message.isprintable() and len(message) <= 300


def test_code_of_others_is_never_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(DCGANGenerator):
        pass

    monkeypatch.setitem(ARCHITECTURES, "theirs", Architecture("theirs", Theirs, (100,), "", GENERATOR))
    path = written(tmp_path, recipe=RECIPE.with_overrides({"generator": "theirs"}))
    monkeypatch.setattr(Theirs, "__init__", lambda *_, **__: pytest.fail("it was built"))
    assert refused(path) == ("unknown_architecture", "The generator's architecture is 'theirs'.")


def safetensors_of(header: bytes, rest: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + rest


def shaped(shape: str, end: int = 4, kind: str = "F32") -> bytes:
    return safetensors_of(f'{{"w":{{"dtype":"{kind}","shape":{shape},"data_offsets":[0,{end}]}}}}'.encode(), bytes(4))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "not_generator", "The file is an empty file."),
        (b"hello\n" * 9, "not_generator", "The file is a text file."),
        (b"\x1f\x8b\x08" + bytes(60), "not_generator", "gzip"),
        (pickle.dumps({"weight": 1}), "not_generator", "The file is a Python pickle."),
        (b"\xff" * 64, "not_generator", "The file is not a safetensors file."),
        ((1 << 18).to_bytes(8, "little") + b"{}", "damaged", "not a complete safetensors file"),
        ((1 + (1 << 18)).to_bytes(8, "little") + b"{}", "not_generator", "claims 262,145 bytes, above 0.25 MiB"),
        (safetensors_of(b"{" * 200_000), "damaged", "not a complete safetensors file"),
        (safetensors_of(b'{"a":' + b"[" * 200_000), "damaged", "not a complete safetensors file"),
        (shaped("[1]", 8), "damaged", "not a complete safetensors file"),
        (shaped("[2]"), "damaged", "not a complete safetensors file"),
        (shaped("[9223372036854775807,9223372036854775807]"), "damaged", "not a complete safetensors file"),
        (shaped("[-1]"), "damaged", "not a complete safetensors file"),
        (shaped("[1]", kind="OBJECT"), "damaged", "not a complete safetensors file"),
        (shaped("[1]"), "not_generator", "holds no generator"),
        (safetensors_of(b"{}"), "not_generator", "holds no generator"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path: Path, content: bytes, code: str, words: str) -> None:
    path = tmp_path / "s1.safetensors"
    path.write_bytes(content)
    found, message = refused(path)
    assert (found, words in message) == (code, True), (found, message)


def test_weights_that_changed_since_they_were_written_are_damaged(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x42")
    assert refused(path)[0] == "damaged"


def test_a_pipe_is_not_waited_for_and_a_link_to_nowhere_is_no_verdict(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s1.safetensors")
    assert refused(tmp_path / "s1.safetensors") == ("not_generator", "It is not a file.")
    (tmp_path / "s2.safetensors").symlink_to("nowhere")
    with pytest.raises(UnreadableTarball, match="leads nowhere"):
        read(tmp_path / "s2.safetensors")


def test_the_cap_on_work_is_met_exactly(tmp_path: Path) -> None:
    path, macs = written(tmp_path), multiply_adds(RECIPE, 32)
    # Transposed convolutions: inputs x outputs x taps at each of the input's places.
    assert macs == 4 * 8 * 16 * 1 + 8 * 4 * 16 * 4**2 + 4 * 2 * 16 * 8**2 + 2 * 3 * 16 * 16**2
    assert read(path, limits=replace(LIMITS, macs=macs)).names
    assert refused(path, replace(LIMITS, macs=macs - 1))[0] == "generator_too_large"


def test_the_cap_on_bytes_is_met_exactly(tmp_path: Path) -> None:
    path = written(tmp_path)
    size = path.stat().st_size
    assert read(path, limits=replace(LIMITS, compressed_bytes=size)).names
    assert refused(path, replace(LIMITS, compressed_bytes=size - 1))[0] == "generator_too_large"


def test_the_cap_on_the_header_is_met_exactly(tmp_path: Path) -> None:
    path = written(tmp_path)
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert read(path, limits=replace(LIMITS, generator_header_bytes=header)).names
    assert refused(path, replace(LIMITS, generator_header_bytes=header - 1))[0] == "not_generator"


def test_the_largest_networks_of_the_papers_are_within_the_caps() -> None:
    limits = Limits()
    for name, width, latent_dim in (
        ("dcgan_generator", 128, 100),
        ("sngan_generator", 64, 128),
        ("self_modulated_generator", 64, 128),
        ("r3gan_generator", 384, 64),
    ):
        recipe = RECIPE.with_overrides({"generator": name, "generator_width": width, "latent_dim": latent_dim})
        with torch.device("meta"):
            numbers = sum(tensor.numel() for tensor in generator_of_recipe(recipe, 64).state_dict().values())
        assert multiply_adds(recipe, 64) <= limits.macs and 4 * numbers <= limits.compressed_bytes - (1 << 20)


def test_too_little_memory_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)

    monkeypatch.setattr("facegen.training.saved_generator.generator_of_recipe", lambda recipe, size: _Lacking())
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        read(path)


class _Lacking(DCGANGenerator):
    """The tiny network on a machine that has room for its shapes alone."""

    def __init__(self) -> None:
        super().__init__(latent_dim=4, width=2, size=32)

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("whole"), says(seed="7"))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_the_header_says_only_a_rejection_comes_of_it(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    header = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 8 + header - 1))
        piece = data.draw(st.binary(max_size=4) | st.sampled_from([b"0", b"9" * 20, b"-", b"[", b'"', b"\\u202e"]))
        content[at : at + data.draw(st.integers(0, 4))] = piece
    path = whole.with_name("s2.safetensors")
    path.write_bytes(content)
    try:
        read(path, limits=replace(LIMITS, count=1))
    except Rejection as rejection:
        assert rejection.message.isprintable()


class TestLikeness:
    @pytest.fixture
    def network(self) -> nn.Module:
        return load_generator(generator_path()).network

    def test_the_generator_that_ships_is_itself_in_any_precision_and_scale(self, network: nn.Module) -> None:
        assert likeness_to_shipped(network) == 1
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(3)
        assert likeness_to_shipped(network.bfloat16()) == pytest.approx(1, abs=1e-3)

    def test_noise_as_large_as_half_of_its_weights_hides_it_not(self, network: nn.Module) -> None:
        noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                scale = parameter.square().mean().sqrt() / 2
                parameter.add_(scale * torch.randn(parameter.shape, generator=noise))
        assert likeness_to_shipped(network) == pytest.approx(1 / 1.25**0.5, abs=0.01)  # the angle of a sum of squares

    def test_one_of_the_same_shape_from_another_seed_is_unlike_it(self, network: nn.Module) -> None:
        recipe = load_generator(generator_path()).recipe.with_overrides({"seed": 1})
        assert abs(likeness_to_shipped(build_networks(recipe, 64)[0]) or 0) < 0.05

    def test_another_shape_has_no_likeness(self) -> None:
        assert likeness_to_shipped(generator_of_recipe(RECIPE, 32)) is None


class TestInTheGrader:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "submissions").mkdir()
        return tmp_path / "submissions"

    def grade(self, path: Path, scorer: Any, seed: int | None) -> Any:
        cache = path.parents[1] / "cache"
        reader = GeneratorReader(seed, CPU)
        return Grader(scorer, Collections(), cache, limits=LIMITS, reader=reader).grade(Found.at(path))

    def test_a_seed_is_graded_once_and_another_for_itself(self, folder: Path, scorer: Any) -> None:
        path = written(folder)
        outcomes = [self.grade(path, scorer, seed) for seed in (1, 1, 2, None)]
        assert scorer.calls == 3 and [outcome.student_number for outcome in outcomes] == ["s1"] * 4
        assert outcomes[0].graded.score == outcomes[1].graded.score != outcomes[2].graded.score
        assert outcomes[1].graded.notes == ("Drawn here with the course's seed 1.",)

    def test_code_that_draws_otherwise_draws_again(
        self, folder: Path, scorer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = written(folder)
        self.grade(path, scorer, 1)
        monkeypatch.setattr(generators, "code_hash", lambda name: "another")
        self.grade(path, scorer, 1)
        assert scorer.calls == 2

    def test_a_rejection_is_kept_and_its_remedy_is_of_generators(self, folder: Path, scorer: Any) -> None:
        path = written(folder, has(generator="theirs"))
        for _ in range(2):
            rejection = self.grade(path, scorer, None).rejection
            assert rejection.code.value == "unknown_architecture" and "inspect --list" in rejection.remedy

    @pytest.mark.parametrize(
        ("name", "number", "code", "remedy"),
        [
            ("s1.tar.gz", "s1", "not_generator", "facegen pack RUN STUDENT_NUMBER --seed 0"),
            ("s 1.safetensors", None, "bad_name", "then .safetensors."),
            ("s1.pth", None, "bad_name", "then .safetensors."),
        ],
    )
    def test_what_is_no_generator_by_its_name(
        self, folder: Path, scorer: Any, name: str, number: str | None, code: str, remedy: str
    ) -> None:
        (folder / name).write_bytes(b"\x1f\x8b\x08" + bytes(60))
        outcome = self.grade(folder / name, scorer, None)
        assert (outcome.student_number, outcome.rejection.code.value) == (number, code)
        assert remedy in outcome.rejection.remedy
