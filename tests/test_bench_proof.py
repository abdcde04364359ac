"""What scripts/bench/proof.py makes of a recipe before it trains it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from facegen.training.recipe import load_recipe

BENCH = Path(__file__).parents[1] / "scripts" / "bench"


@pytest.fixture(scope="module")
def proof() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        import proof

        yield proof
        sys.modules.pop("proof")


UNCHANGED = argparse.Namespace(batch=None, compile=None, schedule_kimg=None, precision=None, tick_kimg=None)


def test_another_width_has_rates_in_inverse_proportion(proof: ModuleType) -> None:
    recipe = load_recipe("t4")
    narrow = proof.fitted(recipe, 8, UNCHANGED)
    assert (recipe.generator_width, narrow.generator_width, narrow.discriminator_width) == (32, 8, 8)
    assert (narrow.generator_lr, narrow.discriminator_lr) == ((0.0004, 0.0), (0.0016, 0.0))


def test_without_a_width_the_clock_alone_is_changed(proof: ModuleType) -> None:
    recipe = load_recipe("best")
    fitted = proof.fitted(recipe, None, UNCHANGED)
    changed = {name for name, value in fitted.to_dict().items() if value != recipe.to_dict()[name]}
    assert changed == {"kimg", "fid_every", "checkpoint_every"}
