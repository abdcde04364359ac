from __future__ import annotations

import errno
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.images import open_images
from facegen.data.origin import Origin
from facegen.errors import InputError
from facegen.gan.discriminators import build_discriminator
from facegen.gan.latents import normal_latents, sobol_latents
from facegen.stages import sample as stage
from facegen.training.checkpoint import save_checkpoint
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import load_generator, save_generator

Run = Callable[..., Result]


def pixels(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_images_are_numbered_64x64_rgb_pngs_and_the_grid_lies_beside(
    facegen: Run, generator: Path, tmp_path: Path
) -> None:
    outcome = facegen("sample", generator, tmp_path / "images", "-n", "5")
    assert outcome.exit_code == 0 and outcome.stdout.strip() == str(tmp_path / "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [f"{i:04d}.png" for i in range(1, 6)]
    with Image.open(tmp_path / "images" / "0001.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
    assert (tmp_path / "grid.png").is_file()


def test_pixels_are_the_denormalised_output_of_each_index(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "3", "--seed", "5", "--truncation", "0.7")
    network = load_generator(generator / "last.safetensors").network
    for index, image in enumerate(pixels(tmp_path / "images")):
        with torch.no_grad():
            output = network(0.7 * normal_latents(5, index, 1, 100))[0]
        expected = ((output + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(image - expected).max() <= 0.51


def test_the_batch_changes_no_pixel(facegen: Run, generator: Path, tmp_path: Path) -> None:
    for batch in (1, 7, 64):
        facegen("sample", generator, tmp_path / str(batch), "-n", "70", "--batch", batch)
    one, seven, many = (pixels(tmp_path / batch) for batch in ("1", "7", "64"))
    assert len(one) == 70
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(one, seven, many, strict=True))


def test_fewer_images_are_the_first_of_more(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "a", "-n", "3")
    facegen("sample", generator, tmp_path / "b", "-n", "40")
    a, b = pixels(tmp_path / "a"), pixels(tmp_path / "b")[:3]
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_an_apple_gpu_is_given_no_channels_last(
    facegen: Run, generator: Path, tmp_path: Path, apple_gpu: AbstractContextManager[None]
) -> None:
    facegen("sample", generator, tmp_path / "cpu", "-n", "3", "--device", "cpu")
    with apple_gpu:
        facegen("sample", generator, tmp_path / "mps", "-n", "3", "--device", "mps")
    for one, other in zip(pixels(tmp_path / "cpu"), pixels(tmp_path / "mps"), strict=True):
        np.testing.assert_allclose(one.astype(int), other.astype(int), atol=1)


def test_the_best_generator_is_preferred(facegen: Run, generator: Path, tmp_path: Path) -> None:
    (generator / "best.safetensors").write_bytes((generator / "last.safetensors").read_bytes())
    outcome = facegen("sample", generator, tmp_path / "images", "-n", "1")
    assert "from best.safetensors" in outcome.stderr


@pytest.mark.parametrize("what", ["length", "dataset", "seed"])
def test_a_best_generator_of_another_run_is_said(facegen: Run, generator: Path, tmp_path: Path, what: str) -> None:
    saved = load_generator(generator / "last.safetensors")
    changed = {"length": {"kimg": 99}, "seed": {"seed": 7}}.get(what, {})
    save_generator(
        generator / "best.safetensors",
        saved.network,
        saved.recipe.with_overrides(changed),
        size=saved.size,
        dataset="cd" if what == "dataset" else saved.dataset_sha256,
        images_seen=1,
        score=None,
    )
    said = facegen("sample", generator, tmp_path / "images", "-n", "1").stderr
    assert (f"and last.safetensors beside it belong to different runs: they differ in {what}." in said) == (
        what != "length"
    )


def test_earlier_samples_are_replaced_and_nothing_else(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "4")
    assert facegen("sample", generator, tmp_path / "images", "-n", "2").exit_code == 0
    assert len(pixels(tmp_path / "images")) == 2
    (tmp_path / "images" / "holiday.png").write_bytes(b"mine")
    refused = facegen("sample", generator, tmp_path / "images", "-n", "2")
    assert refused.exit_code == 2 and "holiday.png" in refused.stderr
    assert (tmp_path / "images" / "holiday.png").read_bytes() == b"mine"


def test_images_whose_preview_finds_no_room_are_not_left_where_the_next_ones_go(
    facegen: Run, generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a preview beside them they would be taken for photographs, and not replaced."""

    def full(*words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "save_png", full)
        assert facegen("sample", generator, tmp_path / "images", "-n", "2").exit_code == 2
    assert not list(tmp_path.glob("images*"))
    assert facegen("sample", generator, tmp_path / "images", "-n", "2").exit_code == 0


def test_a_run_without_a_generator_is_said(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    outcome = facegen("sample", tmp_path / "run", tmp_path / "images")
    assert outcome.exit_code == 2 and "no generator yet" in outcome.stderr


def samplings(folder: Path) -> set[str | None]:
    return {picture.origin.sampling for picture in open_images(folder).pictures()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), None),
        (("--truncation", "0.8"), "truncation 0.8"),
        (("--latents", "sobol"), "Sobol latents"),
        (("--truncation", "0.8", "--latents", "sobol"), "truncation 0.8; Sobol latents"),
    ],
)
def test_images_say_how_they_were_sampled_unless_plainly(
    facegen: Run, generator: Path, tmp_path: Path, options: tuple[str, ...], said: str | None
) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "2", *options)
    assert samplings(tmp_path / "images") == {said}


def test_plain_sampling_writes_what_pillow_writes_by_itself(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "1")
    path = tmp_path / "images" / "0001.png"
    Image.open(path).save(tmp_path / "again.png")
    assert path.read_bytes() == (tmp_path / "again.png").read_bytes()


def test_images_name_the_network_that_their_generator_was_trained_against(
    facegen: Run, generator: Path, tmp_path: Path
) -> None:
    saved = load_generator(generator / "last.safetensors")
    recipe = saved.recipe.with_overrides({"features": "efficientnet_lite0"})
    path = tmp_path / "other.safetensors"
    save_generator(path, saved.network, recipe, size=64, dataset="ab", images_seen=0, score=None)
    outcome = facegen("sample", path, tmp_path / "images", "-n", "2")
    assert "trained against effnet-lite0" in outcome.stderr
    origins = {picture.origin for picture in open_images(tmp_path / "images").pictures()}
    assert origins == {Origin(None, "effnet-lite0")}


def test_sobol_latents_are_the_generators_input(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "2", "--seed", "5", "--latents", "sobol")
    network = load_generator(generator / "last.safetensors").network
    with torch.no_grad():
        outputs = network(sobol_latents(5, 0, 2, 100)).permute(0, 2, 3, 1)
    for image, output in zip(pixels(tmp_path / "images"), outputs, strict=True):
        assert np.abs(image - ((output + 1) * 127.5).numpy()).max() <= 0.51


class TestRejection:
    @pytest.fixture
    def run(self, generator: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A run whose discriminator tells its generator's images apart."""
        monkeypatch.setattr(stage, "BURN_IN", 128)
        self.checkpoint(generator)
        return generator

    def checkpoint(self, run: Path, *, loss: str = "non_saturating", images_seen: int = 0, times: float = 3.0) -> None:
        recipe = load_recipe("dcgan").with_overrides({"discriminator_width": 4, "loss": loss})
        torch.manual_seed(0)
        discriminator = build_discriminator("dcgan_discriminator", width=4, size=64)
        with torch.no_grad():
            for parameter in discriminator.parameters():
                parameter.mul_(times)
        game = {"discriminator": discriminator.state_dict()}
        of_the_run = {"dataset_sha256": "", "seconds": 0.0, "best": None}
        save_checkpoint(run, {"game": game, "images_seen": images_seen, "recipe": recipe.to_dict(), **of_the_run})

    def test_takes_what_training_leaves(
        self, facegen: Run, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stage, "BURN_IN", 32)
        with new_dataset(tmp_path / "dataset", 16) as writer:
            writer.append(np.zeros((20, 16, 16, 3), np.uint8), [str(index) for index in range(20)], ["train"] * 20)
            writer.finish({})
        facegen("train", tmp_path / "dataset", tmp_path / "trained", "--recipe", recipe, "--device", "cpu")
        outcome = facegen("sample", tmp_path / "trained", tmp_path / "images", "-n", "3", "--rejection")
        assert outcome.exit_code == 0 and "warning" not in outcome.stderr, outcome.stderr
        assert len(pixels(tmp_path / "images")) == 3

    def test_keeps_candidates_in_order_whatever_the_batch(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        facegen("sample", run, tmp_path / "plain", "-n", "256")
        for batch, n in ((32, 20), (100, 8)):
            outcome = facegen("sample", run, tmp_path / f"{batch}", "-n", n, "--rejection", "--batch", batch)
            assert outcome.exit_code == 0, outcome.stderr
        candidates = [image.tobytes() for image in pixels(tmp_path / "plain")]
        kept = [candidates.index(image.tobytes()) for image in pixels(tmp_path / "32")]
        assert kept == sorted(kept) and len(set(kept)) == 20 and kept != list(range(20))
        assert [candidates.index(image.tobytes()) for image in pixels(tmp_path / "100")] == kept[:8]

    def test_a_discriminator_that_diverged_rejects_nothing(self, generator: Path) -> None:
        self.checkpoint(generator, times=float("nan"))
        with pytest.raises(InputError, match="the weights of discriminator hold NaN or infinity"):
            stage._discriminator_of(generator, load_generator(generator / "last.safetensors"))

    def test_keeps_what_the_discriminator_finds_real(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        discriminator = stage._discriminator_of(run, load_generator(run / "last.safetensors"))
        assert not discriminator.training

        def mean_logit(folder: str, *options: str) -> float:
            facegen("sample", run, tmp_path / folder, "-n", "40", *options)
            images = np.stack(pixels(tmp_path / folder)).transpose(0, 3, 1, 2)
            with torch.no_grad():
                return float(discriminator(torch.from_numpy(images) / 127.5 - 1).mean())

        assert mean_logit("kept", "--rejection") > mean_logit("plain")

    def test_an_apple_gpu_is_given_neither_channels_last_nor_float64(
        self, facegen: Run, run: Path, tmp_path: Path, apple_gpu: AbstractContextManager[None]
    ) -> None:
        with apple_gpu:
            facegen("sample", run, tmp_path / "images", "-n", "3", "--rejection", "--device", "mps")
        assert len(pixels(tmp_path / "images")) == 3

    def test_is_named_in_every_image(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        outcome = facegen("sample", run, tmp_path / "images", "-n", "3", "--rejection", "--truncation", "0.9")
        (said,) = samplings(tmp_path / "images")
        assert said is not None and re.fullmatch(r"discriminator rejection, \d+% accepted; truncation 0\.9", said)
        assert said in outcome.stderr

    def test_needs_a_run_folder_with_a_checkpoint(self, facegen: Run, generator: Path, tmp_path: Path) -> None:
        for what, said in ((generator, "has no checkpoint"), (generator / "last.safetensors", "generator alone")):
            outcome = facegen("sample", what, tmp_path / "images", "--rejection")
            assert outcome.exit_code == 2 and said in outcome.stderr
        assert not (tmp_path / "images").exists()

    def test_needs_a_logit_that_is_a_density_ratio(self, facegen: Run, generator: Path, tmp_path: Path) -> None:
        self.checkpoint(generator, loss="hinge")
        outcome = facegen("sample", generator, tmp_path / "images", "--rejection")
        assert outcome.exit_code == 2 and "hinge" in outcome.stderr and "non_saturating, relativistic" in outcome.stderr

    def test_says_so_where_the_two_are_of_different_times(self, facegen: Run, run: Path, tmp_path: Path) -> None:
        self.checkpoint(run, images_seen=5000)
        outcome = facegen("sample", run, tmp_path / "images", "-n", "1", "--rejection")
        assert "that of 5 kimg, but the generator is that of 0" in outcome.stderr


def test_its_own_is_replaced(
    generator: Path, facegen: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in ("0", "1"):
        assert facegen("sample", generator, "images", "-n", "3", "--seed", seed).exit_code == 0
        assert facegen("interpolate", generator, "w.gif", "--rows", "2", "--steps", "2").exit_code == 0
    Image.open("grid.png").save("again.png")  # without its text, as a preview from before they said so
    Path("again.png").replace("grid.png")
    assert facegen("sample", generator, "images", "-n", "3").exit_code == 0
