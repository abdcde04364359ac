"""A trainer's state, where what goes on is not what was saved."""

from __future__ import annotations

import copy

import torch

from facegen.data.dataset import FaceDataset
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")


def trainer_of(recipe: Recipe, dataset: FaceDataset, precision: torch.dtype = torch.float32) -> Trainer:
    rows = dataset.training_rows()
    real = RealImages(dataset.images, rows, batch=recipe.batch, seed=recipe.seed, device=CPU, ranks=Ranks())
    return Trainer(recipe, real, dataset.size, CPU, precision, Ranks())


def test_float16_goes_on_from_another_precision_with_a_scale_of_its_own(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset
) -> None:
    """A run that was begun on a GPU with bfloat16, and goes on on a T4."""
    before, after = trainer_of(tiny_recipe, tiny_dataset), trainer_of(tiny_recipe, tiny_dataset, torch.float16)
    before(0)
    after.load_state_dict(before.state_dict())
    after(1)
    assert after.state_dict()["scaler_g"]["scale"] > 0
    before.load_state_dict(after.state_dict())  # and back again
    before(2)


def test_moments_of_another_layout_are_those_of_the_same_weights(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset
) -> None:
    """A checkpoint of an Apple GPU, which has no channels_last. Fused Adam knows entries by their place in memory."""
    recipe = tiny_recipe.with_overrides({"generator_width": 4, "discriminator_width": 4})
    whole = trainer_of(recipe, tiny_dataset)
    whole(0)
    state = copy.deepcopy(whole.state_dict())
    for name in ("optimizer_g", "optimizer_d"):
        for moments in state[name]["state"].values():
            for key, tensor in moments.items():
                moments[key] = tensor.clone(memory_format=torch.contiguous_format)
    resumed = trainer_of(recipe, tiny_dataset)
    resumed.load_state_dict(state)
    whole(1), resumed(1)
    torch.testing.assert_close(resumed.generator.state_dict(), whole.generator.state_dict(), rtol=0, atol=0)


def test_what_is_restored_is_at_its_address(tiny_recipe: Recipe, tiny_dataset: FaceDataset) -> None:
    trainer = trainer_of(tiny_recipe, tiny_dataset)
    trainer(0)
    state = copy.deepcopy(trainer.state_dict())
    places = [parameter.data_ptr() for parameter in trainer.generator.parameters()]
    with trainer.trial_run():
        trainer(1)
    assert [parameter.data_ptr() for parameter in trainer.generator.parameters()] == places
    torch.testing.assert_close(trainer.state_dict(), state, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in trainer.generator.parameters())
