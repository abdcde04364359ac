from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.errors import InputError
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict, recipe_names, tomllib


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_survives_toml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "copy.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "copy.toml") == recipe
    assert recipe.name == name


def test_dcgan_has_the_papers_hyperparameters() -> None:
    recipe = load_recipe("dcgan")
    # Radford et al., section 4.
    assert (recipe.batch, recipe.generator_lr, recipe.discriminator_lr) == (128, 2e-4, 2e-4)
    assert (recipe.beta1, recipe.beta2, recipe.latent_dim) == (0.5, 0.999, 100)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.text(st.characters(codec="utf-8")))
def test_any_name_survives_toml(name: str) -> None:
    recipe = load_recipe("quick").with_overrides({"name": name})
    assert recipe_from_dict(tomllib.loads(recipe.to_toml()), "the copy") == recipe


def test_a_misspelt_key_names_the_near_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("quick").to_toml().replace("batch =", "bacth ="), encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml has 'bacth'.*Did you mean 'batch'\?"):
        load_recipe(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("quick").to_toml().replace("batch = 32\n", ""), encoding="utf-8")
    with pytest.raises(InputError, match=r"lacks batch"):
        load_recipe(path)


def test_a_misspelt_recipe_names_the_near_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'dcgan'"):
        load_recipe("dgcan")


def test_broken_toml_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("batch = = 3", encoding="utf-8")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("batch", 1), ("batch", 2.5), ("kimg", 0), ("kimg", float("nan")), ("kimg", float("inf")), ("beta1", 1.0),
     ("loss", "hing"), ("mirror", 1), ("generator_lr", -1.0), ("precision", "fp8"), ("seed", True)],
)  # fmt: skip
def test_a_value_out_of_its_limits_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"has {field} = "):
        load_recipe("quick").with_overrides({field: value})


def test_length_may_change_on_resume_and_learning_may_not() -> None:
    recipe = load_recipe("quick")
    assert recipe.with_overrides({"kimg": 1.0}).learned_fields() == recipe.learned_fields()
    assert recipe.with_overrides({"batch": 2}).learned_fields() != recipe.learned_fields()


def test_none_overrides_nothing() -> None:
    recipe = load_recipe("quick")
    assert recipe.with_overrides(dict.fromkeys(Recipe.__dataclass_fields__)) == recipe
