from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from facegen.cnn.chroma import ChromaLowPass
from facegen.errors import InputError
from facegen.gan.generators import NoImages, build_generator
from facegen.training.checkpoint import KEPT, checkpoint_files, load_checkpoint, newest_checkpoint, save_checkpoint
from facegen.training.networks import build_networks
from facegen.training.recipe import Recipe
from facegen.training.saved_generator import BEST, LAST, load_generator, save_generator
from facegen.weights.content import CONTENTS_SHA256, read_safetensors, write_safetensors

Tensors, Metadata = dict[str, Tensor], dict[str, str]


#: What training goes on from, beside what a test says.
FIELDS: dict[str, Any] = {
    "trainer": {},
    "images_seen": 1,
    "recipe": {},
    "dataset_sha256": "",
    "seconds": 0.0,
    "best": None,
}


def test_only_the_newest_few_stay(tmp_path: Path) -> None:
    for images in (1000, 2000, 100_000):
        save_checkpoint(tmp_path, {**FIELDS, "images_seen": images})
    assert [load_checkpoint(path)["images_seen"] for path in checkpoint_files(tmp_path)] == [100_000, 2000][:KEPT]


def test_a_truncated_checkpoint_is_said_with_its_remedy(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, {"images_seen": 1, "weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"kimg-.*\.pt is damaged.*Delete all checkpoints"):
        load_checkpoint(path)


def test_no_pickled_code_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "ran").touch, ())

    buffer = io.BytesIO()
    torch.save({"schema": 2, "images_seen": Evil()}, buffer, pickle_module=pickle)
    (tmp_path / "evil.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("features", "goes_on"), [("", True), ("efficientnet_lite0", False)])
def test_a_former_checkpoint_goes_on_unless_its_critic_of_features_was_another(
    tmp_path: Path, features: str, goes_on: bool
) -> None:
    path = tmp_path / "kimg-1.pt"
    torch.save({**FIELDS, "schema": 2, "recipe": {"features": features}}, path)
    if goes_on:
        assert load_checkpoint(path)["images_seen"] == 1
    else:
        with pytest.raises(InputError, match=r"not one of this version of facegen.*Start a new run"):
            load_checkpoint(path)


def test_a_checkpoint_of_before_schema_4_is_read_by_present_names(tmp_path: Path) -> None:
    path = tmp_path / "kimg-1.pt"
    former = {key: value for key, value in FIELDS.items() if key != "trainer"}
    torch.save({**former, "schema": 3, "recipe": {"fid_every": 1.0}, "game": {"generator": {}}}, path)
    state = load_checkpoint(path)
    assert state["trainer"] == {"generator": {}} and "game" not in state


def test_a_generator_comes_back_whole(tiny_recipe: Recipe, tmp_path: Path) -> None:
    generator, _ = build_networks(tiny_recipe, 16)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, tiny_recipe, size=16, dataset="ab", images_seen=1500, score=None)
    saved = load_generator(path)
    assert (saved.recipe, saved.size, saved.dataset_sha256, saved.kimg) == (tiny_recipe, 16, "ab", 1.5)
    torch.testing.assert_close(saved.network.state_dict(), generator.state_dict(), rtol=0, atol=0)
    assert not saved.network.training


def test_a_generator_whose_recipe_has_former_names_comes_back(tiny_recipe: Recipe, tmp_path: Path) -> None:
    generator, _ = build_networks(tiny_recipe, 16)
    former = tiny_recipe.to_dict() | {"fid_every": 3.0, "fid_images": 5, "discriminator_norm": "spectral"}
    for name in ("score_every", "score_images", "discriminator_weight_norm"):
        del former[name]
    metadata = {"format": "facegen-generator", "schema": "1", "recipe": json.dumps(former), "size": "16"}
    metadata |= {"dataset_sha256": "ab", "kimg": "1.5"}
    save_file(generator.state_dict(), tmp_path / "g.safetensors", metadata)
    present = {"score_every": 3.0, "score_images": 5, "discriminator_norm": "none"}
    expected = tiny_recipe.with_overrides({**present, "discriminator_weight_norm": "spectral"})
    assert load_generator(tmp_path / "g.safetensors").recipe == expected


@pytest.mark.parametrize(("features", "network"), [("", None), ("efficientnet_lite0", "effnet-lite0")])
def test_a_generator_remembers_what_it_was_trained_against(
    tiny_recipe: Recipe, tmp_path: Path, features: str, network: str | None
) -> None:
    recipe = tiny_recipe.with_overrides({"features": features})
    generator = build_generator(recipe.generator, latent_dim=recipe.latent_dim, width=recipe.generator_width, size=16)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, recipe, size=16, dataset="ab", images_seen=0, score=None)
    with safe_open(path, framework="pt") as file:
        assert file.metadata().get("trained_against") == network
    assert load_generator(path).trained_against == network


def test_a_generator_of_smooth_colour_comes_back_with_its_filter(tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = tiny_recipe.with_overrides({"chroma_cutoff": 0.5})
    generator, _ = build_networks(recipe, 16)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, recipe, size=16, dataset="ab", images_seen=0, score=None)
    plain, _ = build_networks(tiny_recipe, 16)
    latents = torch.randn(2, tiny_recipe.latent_dim, generator=torch.Generator().manual_seed(0))
    expected = ChromaLowPass(0.5)(plain.eval()(latents))
    torch.testing.assert_close(load_generator(path).network(latents), expected, rtol=0, atol=1e-6)


def test_a_checkpoint_in_a_generators_place_names_the_generator(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "run", {"images_seen": 1000})
    with pytest.raises(InputError, match=r"for resuming training, not a generator\. .*run.last\.safetensors"):
        load_generator(path)


def test_another_file_in_a_generators_place_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "g.pkl").write_bytes(b"\x80\x03}q\x00.")
    with pytest.raises(InputError, match=r"g\.pkl is a Python pickle, not a generator of facegen"):
        load_generator(tmp_path / "g.pkl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xfe" * 64, "is damaged"),
        (b"", "is an empty file, .*copy it again"),
        (b"not safetensors", "is a text file, .* Name a run folder"),
        (b"<!DOCTYPE html>", "is an HTML page, .*download again"),
        (b"\x1f\x8b\x08" + bytes(9), "is a gzip file, .* Name a run folder"),
        (b"%PDF-1.4", "is a PDF, .* Name a run folder"),
    ],
)
def test_what_is_no_generator_is_called_damaged_only_where_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "g.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=rf"g\.safetensors {words}"):
        load_generator(tmp_path / "g.safetensors")


def test_a_strangers_safetensors_is_said(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="no generator of this version"):
        load_generator(tmp_path / "other.safetensors")


def test_tensors_that_do_not_fit_the_recipe_are_said(tiny_recipe: Recipe, tmp_path: Path) -> None:
    generator, _ = build_networks(tiny_recipe, 16)
    path = tmp_path / "g.safetensors"
    wider = tiny_recipe.with_overrides({"generator_width": 3})
    save_generator(path, generator, wider, size=16, dataset="ab", images_seen=0, score=None)
    with pytest.raises(InputError, match="does not fit its own recipe"):
        load_generator(path)


WEIGHTS = torch.arange(100.0)
OTHER = "its contents do not match the hash they were saved with"


def checkpoint(run: Path, kimg: int) -> Path:
    """Of a trainer with all that its state may hold."""
    adam = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.0, 0.9)}]}
    generator = {"weight": WEIGHTS.half(), "bias": torch.zeros(0), "steps": torch.tensor(kimg)}
    layout = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    trainer = {"generator": generator, "d": {"weight": layout}, "optimizer_g": adam, "scaler": {}, "none": None}
    return save_checkpoint(run, {**FIELDS, "trainer": trainer, "images_seen": 1000 * kimg})


def flip_a_weight(path: Path) -> None:
    """One bit, in the file."""
    data = path.read_bytes()
    at = data.index(WEIGHTS.half().numpy().tobytes()) + 50
    path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])


def save_other_weights(path: Path) -> None:
    """The zip's own sums are right then."""
    state = torch.load(path, weights_only=True)
    state["trainer"]["generator"]["weight"][7] += 1
    torch.save(state, path)


def save_other_rates(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["trainer"]["optimizer_g"]["param_groups"][0]["lr"] = 2e-3
    torch.save(state, path)


@pytest.mark.parametrize("change", [flip_a_weight, save_other_weights, save_other_rates])
def test_a_checkpoint_that_changed_is_damaged_and_the_one_before_is_named(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    before, newest = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    assert load_checkpoint(newest)["trainer"]["optimizer_g"]["param_groups"][0]["betas"] == (0.0, 0.9)
    change(newest)
    with pytest.raises(InputError, match=OTHER) as told:
        load_checkpoint(newest)
    assert told.value.remedy == f"Delete it to continue from the previous checkpoint, {before.name}, which is whole."
    flip_a_weight(before)
    with pytest.raises(
        InputError, match="Delete all checkpoints of the run to train from the start: no earlier one is whole"
    ):
        load_checkpoint(newest)


def test_a_checkpoint_from_before_there_was_a_hash_is_compared_with_its_zips_sums(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 1)
    state = torch.load(path, weights_only=True)
    del state["trainer_sha256"]
    torch.save(state, path)
    torch.testing.assert_close(load_checkpoint(path)["trainer"]["generator"]["weight"], WEIGHTS.half())
    flip_a_weight(path)
    with pytest.raises(InputError, match=OTHER):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value", "how"),
    [
        ("seconds", None, "it lacks seconds"),
        ("images_seen", -8, "its images_seen cannot be -8"),
        ("recipe", [1], r"its recipe cannot be \[1\]"),
        ("trainer", {"ema": {"w": torch.tensor(math.nan)}}, "the weights of ema hold NaN or infinity"),
    ],
)
def test_a_checkpoint_that_training_cannot_go_on_from_is_damaged(
    key: str, value: object, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = save_checkpoint(tmp_path, FIELDS)
    state = {**FIELDS, "images_seen": 2, "schema": 4, key: value}
    damaged = before.with_name("kimg-000000.002.pt")
    torch.save({name: each for name, each in state.items() if each is not None or name == "best"}, damaged)
    with pytest.raises(
        InputError, match=f"002.pt is damaged: {how}.*continue from the previous checkpoint, {before.name}"
    ):
        load_checkpoint(damaged)
    for is_writer in (False, True):  # other ranks leave it to the writer, whichever is the first
        state = newest_checkpoint(tmp_path, is_writer=is_writer) or {}
        assert state["images_seen"] == 1 and damaged.exists() != is_writer
    assert capsys.readouterr().err.count("warning") == 1


def test_too_little_memory_is_no_damage_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, FIELDS)

    def load(*words: object, **options: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes.")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(RuntimeError, match="allocate memory"):
        newest_checkpoint(tmp_path)
    assert len(checkpoint_files(tmp_path)) == 1


def saved(path: Path, recipe: Recipe, **changes: object) -> Path:
    torch.manual_seed(0)
    generator, _ = build_networks(recipe, 16)
    words = {"size": 16, "dataset": "ab", "images_seen": 1500, "score": '{"value": 1.0}'}
    save_generator(path, generator, recipe, **{**words, **changes})
    return path


def test_the_same_generator_is_the_same_bytes(tiny_recipe: Recipe, tmp_path: Path) -> None:
    files = {saved(tmp_path / f"{at}.safetensors", tiny_recipe).read_bytes() for at in range(3)}
    assert len(files) == 1
    assert files != {saved(tmp_path / "other.safetensors", tiny_recipe, images_seen=1501).read_bytes()}


@pytest.mark.parametrize("found", [b'"kimg":"1.5"', b'"dataset_sha256":"ab"', None], ids=["kimg", "dataset", "weights"])
def test_a_generator_that_changed_is_damaged_and_another_of_its_run_is_named(
    found: bytes | None, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    best, last = (saved(tmp_path / name, tiny_recipe) for name in (BEST, LAST))
    data = best.read_bytes()
    at = len(data) - 5 if found is None else data.index(found) + len(found) - 2
    best.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(InputError, match=f"best.safetensors is damaged: {OTHER}") as told:
        load_generator(best)
    assert told.value.remedy == f"Name another generator of the same run, which is whole: {last}"
    last.unlink()
    with pytest.raises(InputError, match="Copy it again from its source"):
        load_generator(best)


def test_a_generator_from_before_there_was_a_hash_is_read(tiny_recipe: Recipe, tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", tiny_recipe)
    with safe_open(path, framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != CONTENTS_SHA256}
        save_file({name: file.get_tensor(name) for name in file.keys()}, path, metadata)  # noqa: SIM118
    assert load_generator(path).kimg == 1.5


def changed(recipe: dict[str, object] | None = None, **metadata: str) -> Callable[[Tensors, Metadata], None]:
    def change(_: Tensors, known: Metadata) -> None:
        known.update(metadata)
        if recipe is not None:
            known["recipe"] = json.dumps({**json.loads(known["recipe"]), **recipe})

    return change


def filled(value: float) -> Callable[[Tensors, Metadata], None]:
    def fill(tensors: Tensors, _: Metadata) -> None:
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                tensors[name] = torch.full_like(tensor, value)

    return fill


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed({"generator_width": 1200}), r"does not fit its own recipe: project\.conv\.weight is torch\.float32"),
        (changed({"latent_dim": 10**9}), "latent_dim must be from 1 to 16,384"),
        (changed(size="1073741824"), "the side of its images must be from 1 to 2,048 pixels"),
        (changed(size="9" * 5000), "does not fit its own recipe: Exceeds"),
        (changed(kimg="nan"), "its kimg must be from 0 to 100,000,000, not nan"),
        (changed(recipe=None, trained_against="a\nb" * 99), "cannot be named"),
        (lambda _, known: known.update(recipe="[" * 100_000), "does not fit its own recipe: RecursionError"),
        (lambda _, known: known.update(recipe="[1]"), "must be a table of hyperparameters, not of type list"),
        (lambda _, known: known.pop("recipe"), "does not fit its own recipe: KeyError: 'recipe'"),
        (filled(math.nan), "draws nothing: its weights .* hold NaN or infinity"),
    ],
)
def test_what_a_generator_claims_is_compared_before_it_is_built(
    tiny_recipe: Recipe, tmp_path: Path, change: Callable[[Tensors, Metadata], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load_generator(written(tiny_recipe, tmp_path, change))


@pytest.mark.parametrize(
    ("value", "words"), [(1e38, "it contains NaN or infinity"), (0.0, "every pixel has the same colour")]
)
def test_a_generator_that_draws_no_images_says_so(
    tiny_recipe: Recipe, tmp_path: Path, value: float, words: str
) -> None:
    network = load_generator(written(tiny_recipe, tmp_path, filled(value))).network
    with pytest.raises(NoImages, match=words):
        network(torch.ones(2, tiny_recipe.latent_dim))


def written(recipe: Recipe, folder: Path, change: Callable[[Tensors, Metadata], object]) -> Path:
    """A generator's file after a change to its tensors and metadata, with the hash of both."""
    path = folder / BEST
    save_generator(path, build_networks(recipe, 32)[0], recipe, size=32, dataset="ab", images_seen=0, score=None)
    tensors, metadata = read_safetensors(path)
    change(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    return path
