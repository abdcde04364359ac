"""A trainer's state, where what goes on is not what was saved."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")
#: The fixture: the trainer of a recipe, of float32 unless another precision is said.
TrainerOf = Callable[..., Trainer]


def test_float16_goes_on_from_another_precision_with_a_scale_of_its_own(
    tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    """A run that was begun on a GPU with bfloat16, and goes on on a T4."""
    before, after = trainer_of(tiny_recipe), trainer_of(tiny_recipe, torch.float16)
    before(0)
    after.load_state_dict(before.state_dict())
    after(1)
    assert after.state_dict()["scaler_g"]["scale"] > 0
    before.load_state_dict(after.state_dict())  # and back again
    before(2)


def test_moments_of_another_layout_are_those_of_the_same_weights(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """A checkpoint of an Apple GPU, which has no channels_last. Fused Adam knows entries by their place in memory."""
    recipe = tiny_recipe.with_overrides({"generator_width": 4, "discriminator_width": 4})
    whole = trainer_of(recipe)
    whole(0)
    state = copy.deepcopy(whole.state_dict())
    for name in ("optimizer_g", "optimizer_d"):
        for moments in state[name]["state"].values():
            for key, tensor in moments.items():
                moments[key] = tensor.clone(memory_format=torch.contiguous_format)
    resumed = trainer_of(recipe)
    resumed.load_state_dict(state)
    whole(1), resumed(1)
    torch.testing.assert_close(resumed.generator.state_dict(), whole.generator.state_dict(), rtol=0, atol=0)


def test_what_is_restored_is_at_its_address(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    trainer = trainer_of(tiny_recipe)
    trainer(0)
    state = copy.deepcopy(trainer.state_dict())
    places = [parameter.data_ptr() for parameter in trainer.generator.parameters()]
    with trainer.trial_run():
        trainer(1)
    assert [parameter.data_ptr() for parameter in trainer.generator.parameters()] == places
    torch.testing.assert_close(trainer.state_dict(), state, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in trainer.generator.parameters())
