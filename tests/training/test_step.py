"""A step against the same arithmetic written out in plain torch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from facegen.data.dataset import FaceDataset
from facegen.training.batches import STEP, RealImages, seeded
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.step import EMA_RAMP, Game, build_networks, mean_figures

CPU = torch.device("cpu")


def game_of(recipe: Recipe, dataset: FaceDataset, precision: torch.dtype = torch.float32) -> Game:
    rows = dataset.training_rows()
    real = RealImages(dataset.images, rows, batch=recipe.batch, seed=recipe.seed, device=CPU, ranks=Ranks())
    return Game(recipe, real, dataset.size, CPU, precision, Ranks())


def test_a_step_is_the_dcgan_examples_arithmetic(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    game = game_of(tiny_recipe, tiny_dataset)
    generator, discriminator = build_networks(tiny_recipe, tiny_dataset.size)
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

    figures = mean_figures([game(0)], Ranks())
    assert figures["loss_d"] == pytest.approx(loss_d.item(), rel=1e-5)
    assert figures["loss_g"] == pytest.approx(loss_g.item(), rel=1e-5)
    for ours, theirs in ((game.generator, generator), (game.discriminator, discriminator)):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-6)


def test_the_average_moves_by_its_half_life(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    game = game_of(tiny_recipe, tiny_dataset)
    before = copy.deepcopy(list(game.ema.parameters()))
    step = 10_000  # far enough for the ramp to be over: 5% of 80,000 images is above the half-life of 2 kimg
    assert EMA_RAMP * step * tiny_recipe.batch > tiny_recipe.ema_half_life_kimg * 1000
    game(step)
    keep = 0.5 ** (tiny_recipe.batch / (tiny_recipe.ema_half_life_kimg * 1000))
    for average, old, new in zip(game.ema.parameters(), before, game.generator.parameters(), strict=True):
        torch.testing.assert_close(average, keep * old + (1 - keep) * new, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_learns_in_float32_weights(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, precision: torch.dtype
) -> None:
    game, exact = game_of(tiny_recipe, tiny_dataset, precision), game_of(tiny_recipe, tiny_dataset)
    ours, theirs = mean_figures([game(0)], Ranks()), mean_figures([exact(0)], Ranks())
    assert ours == pytest.approx(theirs, rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in game.generator.parameters())
    for step in range(1, 6):  # float16's first scale may overflow: such steps are skipped, and the scale is halved
        game(step)
    initial, _ = build_networks(tiny_recipe, tiny_dataset.size)
    moved = [not torch.equal(a, b) for a, b in zip(game.generator.parameters(), initial.parameters(), strict=True)]
    assert all(moved)


def test_the_seed_decides_the_weights_and_leaves_torchs_own_alone(tiny_recipe: Recipe) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (build_networks(tiny_recipe, 16)[0].state_dict() for _ in "12")
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
