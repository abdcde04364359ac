"""scripts/bench/ablation.py: the rates of a variant that is meant to end."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from facegen.training.recipe import load_recipe


@pytest.fixture(scope="module")
def ablation(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("ablation")


@pytest.mark.parametrize("seen", [0, 300_000])
def test_rates_fall_from_what_they_are_to_a_tenth(ablation: ModuleType, seen: int) -> None:
    recipe = load_recipe("laptop")
    present = recipe.at("generator_lr", seen)
    falling = ablation.annealed(recipe, 20.0, seen)
    rates = [
        falling.at(name, seen + more) for name in ("generator_lr", "discriminator_lr") for more in (0, 10_000, 20_000)
    ]
    assert rates == pytest.approx([present, 0.55 * present, 0.1 * present] * 2)


def test_every_variant_is_a_recipe(ablation: ModuleType) -> None:
    for base, changes in [*ablation.NARROW.values(), *ablation.LAPTOP.values()]:
        changed = load_recipe(base).with_overrides(changes)
        assert {name: getattr(changed, name) for name in changes} == changes
