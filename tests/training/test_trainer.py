"""A step against the same arithmetic written out in plain torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from facegen.data.dataset import FaceDataset, new_dataset
from facegen.errors import InputError
from facegen.training import objective
from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.networks import PIXELS, build_networks
from facegen.training.objective import GradientFunction, LossTerms
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.step_inputs import EMA_RAMP
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")
#: The fixture: the trainer of a recipe, of float32 unless another precision is said.
TrainerOf = Callable[..., Trainer]


def figures_of(trainer: Trainer, step: int) -> dict[str, float | None]:
    trainer(step)
    return trainer.read_figures()


def test_a_step_is_the_dcgan_examples_arithmetic(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, trainer_of: TrainerOf
) -> None:
    trainer = trainer_of(tiny_recipe)
    generator, heads = build_networks(tiny_recipe, tiny_dataset.size)
    discriminator = heads[PIXELS]
    draw = seeded(tiny_recipe.seed, STEP, 0)
    latents = torch.randn(tiny_recipe.batch, tiny_recipe.latent_dim, generator=draw)
    mirrored = torch.rand(tiny_recipe.batch, generator=draw) < 0.5
    rows = tiny_dataset.training_rows()
    real = RealImages(tiny_dataset.images, rows, batch=8, seed=0, device=CPU, ranks=Ranks())(0, mirrored)

    adam = [
        torch.optim.Adam(network.parameters(), lr=tiny_recipe.generator_lr, betas=(0.5, 0.999))
        for network in (generator, discriminator)
    ]
    fake = generator(latents)
    ones, zeros = torch.ones(8), torch.zeros(8)
    loss_d = binary_cross_entropy_with_logits(discriminator(real), ones)
    loss_d = loss_d + binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
    loss_d.backward()
    adam[1].step()
    loss_g = binary_cross_entropy_with_logits(discriminator(fake), ones)
    loss_g.backward()
    adam[0].step()

    figures = figures_of(trainer, 0)
    assert figures["loss_d"] == pytest.approx(loss_d.item(), rel=1e-5)
    assert figures["loss_g"] == pytest.approx(loss_g.item(), rel=1e-5)
    for ours, theirs in ((trainer.generator, generator), (trainer.critics[PIXELS].head, discriminator)):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["dcgan", "laptop"])
def test_images_of_128_pixels_train(name: str, tmp_path: Path, trainer_of: TrainerOf) -> None:
    """The size is the dataset's; the recipe stays the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
    with new_dataset(tmp_path / "faces128", 128) as writer:
        writer.append(pixels, list("abcd"), ["train"] * 4)
        writer.finish({})
    small = {"generator_width": 2, "discriminator_width": 2, "latent_dim": 4, "batch": 2, "features_width": 2}
    recipe = load_recipe(name).with_overrides({**small, "compile": False})
    trainer = trainer_of(recipe, dataset=FaceDataset.open(tmp_path / "faces128"))
    figures = figures_of(trainer, 0)
    assert all(value is not None and math.isfinite(value) for value in figures.values())
    assert trainer.ema(torch.zeros(1, 4)).shape == (1, 3, 128, 128)


def test_the_average_moves_by_its_half_life(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    trainer = trainer_of(tiny_recipe)
    before = copy.deepcopy(list(trainer.ema.parameters()))
    step = 10_000  # far enough for the ramp to be over: 5% of 80,000 images is above the half-life of 1 kimg
    assert EMA_RAMP * step * tiny_recipe.batch > tiny_recipe.ema_half_life_kimg * 1000
    trainer(step)
    keep = 0.5 ** (tiny_recipe.batch / (tiny_recipe.ema_half_life_kimg * 1000))
    for average, old, new in zip(trainer.ema.parameters(), before, trainer.generator.parameters(), strict=True):
        torch.testing.assert_close(average, keep * old + (1 - keep) * new, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_learns_in_float32_weights(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, precision: torch.dtype, trainer_of: TrainerOf
) -> None:
    trainer, exact = trainer_of(tiny_recipe, precision), trainer_of(tiny_recipe)
    ours, theirs = figures_of(trainer, 0), figures_of(exact, 0)
    assert ours == pytest.approx(theirs, rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in trainer.generator.parameters())
    for step in range(1, 6):  # float16's first scale may overflow: such steps are skipped, and the scale is halved
        trainer(step)
    initial, _ = build_networks(tiny_recipe, tiny_dataset.size)
    moved = [not torch.equal(a, b) for a, b in zip(trainer.generator.parameters(), initial.parameters(), strict=True)]
    assert all(moved)


def test_the_seed_decides_the_weights_and_leaves_torchs_own_alone(tiny_recipe: Recipe) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (build_networks(tiny_recipe, 16)[0].state_dict() for _ in "12")
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


#: A trainer whose D is penalised.
PENALISED = {
    "discriminator_norm": "none",
    "loss": "relativistic",
    "r1_gamma": [2.0, 0.2],
    "r2_gamma": [2.0, 0.2],
    "schedule_kimg": 1.0,
}


def test_d_learns_as_often_as_the_recipe_says_and_g_once(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    trainer = trainer_of(tiny_recipe.with_overrides({"d_steps": 3}))
    for step in range(2):
        trainer(step)
    state = trainer.state_dict()
    steps = {
        name: {int(entry["step"]) for entry in state[name]["state"].values()} for name in ("optimizer_g", "optimizer_d")
    }
    assert steps == {"optimizer_g": {2}, "optimizer_d": {6}}


def test_each_update_of_d_has_images_of_its_own(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    seen = []

    class Watched(RealImages):
        def fill(self, number: int, sent: torch.Tensor) -> None:
            seen.append(number)
            super().fill(number, sent)

    recipe = tiny_recipe.with_overrides({"d_steps": 2})
    real = Watched(tiny_dataset.images, tiny_dataset.training_rows(), batch=8, seed=0, device=CPU, ranks=Ranks())
    trainer = Trainer(recipe, real, tiny_dataset.size, CPU, torch.float32, Ranks())
    for step in range(3):
        trainer(step)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_the_schedule_reaches_the_optimizers(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    changes = {"generator_lr": [4e-4, 2e-4], "beta2": [0.9, 0.99], "schedule": "linear", "schedule_kimg": 0.08}
    trainer = trainer_of(tiny_recipe.with_overrides(changes))
    trainer(5)  # after 40 of 80 images
    (group,) = trainer.state_dict()["optimizer_g"]["param_groups"]
    assert type(group["lr"]) is float  # a tensor would take all that it is sent with into the checkpoint
    assert group["lr"] == pytest.approx(3e-4) and group["betas"] == pytest.approx((0.5, 0.945))
    (group,) = trainer.state_dict()["optimizer_d"]["param_groups"]
    assert group["lr"] == pytest.approx(tiny_recipe.discriminator_lr)


def test_penalties_are_weighted_as_scheduled(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """The first step of a trainer whose γ is twice as large has twice the penalty, and the same adversarial loss."""
    once, twice = (trainer_of(tiny_recipe.with_overrides({**PENALISED, "r1_gamma": g, "r2_gamma": g}))(0)
                   for g in (1.0, 2.0))  # fmt: skip
    assert twice["penalty"].item() == pytest.approx(2 * once["penalty"].item()) and once["penalty"] > 0
    assert twice["loss_d"].item() == once["loss_d"].item()


def test_seldom_penalties_weigh_as_much_more(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """D's second update of three has no penalty, the first is that of a trainer whose γ is three times as large."""
    seldom = tiny_recipe.with_overrides({**PENALISED, "d_steps": 1, "schedule_kimg": 1e6, "penalty_every": 3})
    stronger = seldom.with_overrides({"r1_gamma": 6.0, "r2_gamma": 6.0, "penalty_every": 1})
    trainers = [trainer_of(recipe) for recipe in (seldom, stronger)]
    first = [figures_of(trainer, 0) for trainer in trainers]
    assert first[0] == pytest.approx(first[1]) and first[0]["penalty"] > 0
    torch.testing.assert_close(*(trainer.critics[PIXELS].head.state_dict() for trainer in trainers))
    assert [trainers[0](step)["penalty"].item() > 0 for step in range(1, 7)] == [False, False, True] * 2


class Kept:
    """What autograd keeps of a tensor until its graph is gone."""

    alive = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        Kept.alive += 1

    def __del__(self) -> None:
        Kept.alive -= 1


def test_compiled_gradients_keep_no_graph(
    tiny_recipe: Recipe, trainer_of: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed with the graph on, each step's would hang on the one before it, and memory would grow and grow."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: None)
    trainer = trainer_of(tiny_recipe.with_overrides({**PENALISED, "compile": True}))
    trainer(0)
    after = []
    for step in range(1, 5):
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            trainer(step)
        after.append(Kept.alive)
    gradients = [parameter.grad for parameter in trainer.critics[PIXELS].head.parameters()]
    assert all(gradient is not None and not gradient.requires_grad for gradient in gradients)
    assert after == [0] * 4


@pytest.mark.parametrize("penalty_every", [1, 2])
def test_a_penalty_that_float16_skips_is_left_out_of_the_mean(
    penalty_every: int, tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    """The first scale is too large for the penalty's gradient. In a step without penalties there is one of 0."""
    recipe = tiny_recipe.with_overrides({**PENALISED, "penalty_every": penalty_every})
    trainer = trainer_of(recipe, torch.float16)
    first = figures_of(trainer, 0)
    assert first["penalty"] is None and first["loss_d"] == pytest.approx(2 * math.log(2) / 2, rel=0.2)
    for step in range(1, 20):
        trainer(step)
    assert trainer.read_figures()["penalty"] > 0


@pytest.mark.parametrize("changes", [{}, {"penalty_every": 2}], ids=["penalties", "seldom penalties"])
def test_a_compiled_trainer_is_the_eager_one(
    changes: dict[str, int], tiny_recipe: Recipe, trainer_of: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captured and differentiated by the compiler, but run without the C++ one, which not every machine has."""
    recipe = tiny_recipe.with_overrides({**PENALISED, **changes})
    eager = trainer_of(recipe)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: None)  # torch's own business
    compiled = trainer_of(recipe.with_overrides({"compile": True}))
    for step in range(2):
        ours, theirs = (figures_of(trainer, step) for trainer in (compiled, eager))
        # Adam's first step is the gradient's sign: rounding decides the sign of what is nearly 0.
        assert ours == pytest.approx(theirs, rel=1e-2, abs=1e-6)


def test_gradients_laid_out_otherwise_than_the_weights_reach_the_right_weights(
    tiny_recipe: Recipe, trainer_of: TrainerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are channels_last, and compilers return gradients that are not."""
    recipe = tiny_recipe.with_overrides({**PENALISED, "discriminator_width": 4})
    eager = trainer_of(recipe)

    def compiled_gradients(*words: Any) -> GradientFunction:
        gradients = objective.compiled_gradients(*words)

        def contiguous(*more: Any) -> tuple[dict[str, torch.Tensor], LossTerms]:
            found, terms = gradients(*more)
            return {
                name: gradient.clone(memory_format=torch.contiguous_format) for name, gradient in found.items()
            }, terms

        return contiguous

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: None)
    monkeypatch.setattr("facegen.training.trainer.compiled_gradients", compiled_gradients)
    trainer = trainer_of(recipe.with_overrides({"compile": True}))
    trainer(0), eager(0)
    for ours, theirs in zip(*(each.critics[PIXELS].head.parameters() for each in (trainer, eager)), strict=True):
        # Rounding decides a gradient that is nearly 0, and with it which way Adam's first step goes.
        assert torch.isclose(ours, theirs, rtol=0, atol=1e-6).float().mean() > 0.99


def test_a_penalty_on_a_d_with_batchnorm_is_refused(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    with pytest.raises(InputError, match=r'discriminator with BatchNorm.*discriminator_norm = "none"'):
        trainer_of(tiny_recipe.with_overrides({"r1_gamma": 1.0}))


@pytest.mark.parametrize(("target", "moves"), [(-0.999, 1), (0.999, -1)])
def test_the_probability_of_an_alteration_follows_overfitting(
    target: float, moves: int, tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    """Whatever D believes, its overfitting lies above −0.999 or below 0.999; 8 images of 80 move it by a tenth."""
    changes = {"augment": "color,cutout", "augment_probability": 0.5, "ada_target": 0.6, "ada_kimg": 0.08}
    trainer = trainer_of(tiny_recipe.with_overrides(changes))
    trainer._augmentation._target = target
    assert trainer(0)["augment_p"].item() == pytest.approx(0.5 + 0.1 * moves)


def test_without_control_the_probability_is_the_schedules(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    changes = {"augment": "flip", "augment_probability": [0.0, 0.3], "schedule": "linear", "schedule_kimg": 0.024}
    trainer = trainer_of(tiny_recipe.with_overrides(changes))
    assert [round(trainer(step)["augment_p"].item(), 6) for step in range(4)] == [0.1, 0.2, 0.3, 0.3]
