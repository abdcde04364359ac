"""What scripts/bench/proof.py makes of a recipe before it trains it, and of its scores."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from facegen.training.recipe import load_recipe


@pytest.fixture(scope="module")
def proof(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("proof")


RECORD = json.loads((Path(__file__).parents[1] / "docs/figures/proof.json").read_text(encoding="utf-8"))
UNCHANGED = argparse.Namespace(batch=None, compile=None, schedule_kimg=None, precision=None, tick_kimg=None)


def test_another_width_has_rates_in_inverse_proportion(proof: ModuleType) -> None:
    recipe = load_recipe("sngan")
    narrow = proof.fitted(recipe, 8, UNCHANGED)
    assert (recipe.generator_width, narrow.generator_width, narrow.discriminator_width) == (64, 8, 8)
    assert (narrow.generator_lr, narrow.discriminator_lr) == ((0.0016, 0.0), (0.0016, 0.0))


def test_without_a_width_the_clock_alone_is_changed(proof: ModuleType) -> None:
    recipe = load_recipe("best")
    fitted = proof.fitted(recipe, None, UNCHANGED)
    changed = {name for name, value in fitted.to_dict().items() if value != recipe.to_dict()[name]}
    assert changed == {"kimg", "score_every", "checkpoint_every"}


def test_the_published_scores_are_drawn_against_minutes_and_kimg(proof: ModuleType) -> None:
    pytest.importorskip("matplotlib")
    recipes = RECORD["data"]["recipes"]
    minutes, kimg = proof.curves_of(recipes).axes
    assert (minutes.get_xlabel(), kimg.get_xlabel(), kimg.get_yscale()) == ("minutes", "kimg", "log")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in kimg.get_lines()}
    assert list(drawn) == [*recipes, "1,000 held-out real images"]
    for name, scores in recipes.items():
        assert drawn[name] == [[score["kimg"], score["inception"]["value"]] for score in scores]


def test_the_published_table_is_that_of_the_published_scores(proof: ModuleType) -> None:
    assert RECORD["tables"] == {"recipes": proof.rows_of(RECORD["data"]["recipes"])}
