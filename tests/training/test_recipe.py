from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.errors import InputError
from facegen.toml_file import parse_toml
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict, recipe_names

#: Fields with a default.
OPTIONAL = {
    "d_steps", "schedule", "schedule_kimg", "r1_gamma", "r2_gamma", "gradient_penalty", "penalty_every", "augment",
    "augment_probability", "ada_target", "ada_kimg", "sync_batch_norm", "features", "features_size", "features_width",
    "features_gamma", "moments_weight", "moments_half_life_kimg", "chroma_cutoff", "discriminator_weight_norm",
}  # fmt: skip


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
    assert recipe_from_dict(parse_toml(recipe.to_toml(), "the copy"), "the copy") == recipe


def test_toml_has_a_line_a_field(tmp_path: Path) -> None:
    recipe = load_recipe("r3gan").with_overrides({"name": 'a "name"\nof two lines'})
    lines = recipe.to_toml().splitlines()
    assert [line.split(" = ")[0] for line in lines] == list(recipe.to_dict())
    assert {r'name = "a \"name\"\nof two lines"', "batch = 256", "beta2 = [0.9, 0.99]", "mirror = true"} <= set(lines)


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
    path.write_bytes(b"\x93NUMPY" + bytes(60))
    with pytest.raises(InputError, match=r"mine\.toml is a NumPy array \(\.npy\), not TOML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("batch", 1), ("batch", 2.5), ("kimg", 0), ("kimg", float("nan")), ("kimg", float("inf")), ("beta1", 1.0),
     ("r1_gamma", 1e39), ("loss", "hing"), ("mirror", 1), ("generator_lr", -1.0), ("precision", "fp8"), ("seed", True)],
)  # fmt: skip
def test_a_value_out_of_its_limits_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"has {field} = "):
        load_recipe("quick").with_overrides({field: value})


def test_length_may_change_on_resume_and_learning_may_not() -> None:
    recipe = load_recipe("quick")
    assert recipe.with_overrides({"kimg": 1.0}).learned_fields() == recipe.learned_fields()
    assert recipe.with_overrides({"batch": 2}).learned_fields() != recipe.learned_fields()


def test_a_misspelt_override_names_the_near_one() -> None:
    with pytest.raises(InputError, match=r"'bacth', which is not a hyperparameter.*Did you mean 'batch'\?"):
        load_recipe("quick").with_overrides({"bacth": 8})


def test_none_overrides_nothing() -> None:
    recipe = load_recipe("quick")
    assert recipe.with_overrides(dict.fromkeys(Recipe.__dataclass_fields__)) == recipe


@pytest.mark.parametrize("name", ["r3gan", "r3gan_small"])
def test_r3gan_has_the_papers_schedules(name: str) -> None:
    recipe = load_recipe(name)
    # Huang et al., arXiv:2501.05441: the preset FFHQ-64 of the authors' code.
    assert (recipe.generator_lr, recipe.beta1, recipe.beta2) == ((2e-4, 5e-5), 0.0, (0.9, 0.99))
    assert recipe.r1_gamma == recipe.r2_gamma == (2.0, 0.2)
    assert (recipe.loss, recipe.schedule, recipe.latent_dim) == ("relativistic", "cosine", 64)


def test_sngan_has_the_papers_hyperparameters() -> None:
    recipe = load_recipe("sngan")
    # Miyato et al., section 4, and mimicry's 100,000 steps of G.
    assert (recipe.loss, recipe.batch, recipe.d_steps, recipe.beta1, recipe.beta2) == ("hinge", 64, 5, 0.0, 0.9)
    assert recipe.total_images == 100_000 * recipe.images_per_step


def test_a_pair_is_gone_through_by_its_schedule() -> None:
    pair = {"generator_lr": [4.0, 2.0], "schedule_kimg": 10.0}
    linear = load_recipe("quick").with_overrides({**pair, "schedule": "linear"})
    cosine = linear.with_overrides({"schedule": "cosine"})
    seen = (0, 2_500, 5_000, 10_000, 50_000)
    assert [linear.at("generator_lr", images) for images in seen] == [4.0, 3.5, 3.0, 2.0, 2.0]
    # (1 − cos(π/4)) / 2 of the way after a quarter of the time.
    assert [cosine.at("generator_lr", images) for images in seen] == pytest.approx([4, 4 - 0.292893, 3, 2, 2])
    assert linear.at("beta1", 5_000) == linear.beta1


def test_a_pair_without_a_length_is_an_error() -> None:
    with pytest.raises(InputError, match="pair of values for beta2 but no schedule_kimg"):
        load_recipe("quick").with_overrides({"beta2": [0.9, 0.99]})


@pytest.mark.parametrize("value", [[0.9], [0.9, 0.95, 0.99], [0.9, 1.5], [0.9, "high"], "high"])
def test_what_is_neither_a_number_nor_a_pair_in_its_limits_is_named(value: object) -> None:
    with pytest.raises(InputError, match="has beta2 = "):
        load_recipe("quick").with_overrides({"beta2": value, "schedule_kimg": 1.0})


def test_only_what_is_off_may_be_left_out() -> None:
    """A recipe of an earlier version, without the fields that have come since, is the same recipe."""
    recipe = load_recipe("dcgan")
    kept = {name: value for name, value in recipe.to_dict().items() if name not in OPTIONAL}
    assert recipe_from_dict(kept, "an old run") == recipe
    assert recipe_from_dict({**kept, **{name: recipe.to_dict()[name] for name in OPTIONAL}}, "a new run") == recipe


def test_a_misspelt_augmentation_names_the_near_one() -> None:
    with pytest.raises(InputError, match=r"'colour' is no augmentation policy; the nearest is 'color'"):
        load_recipe("quick").with_overrides({"augment": "colour"})


def test_the_docs_have_every_recipe() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"| `{name}` |" not in page] == []


def test_every_number_has_a_least_and_a_most() -> None:
    """What a file or an option can ask for has an end, before it is memory or time."""
    numbers = [field for field in Recipe.__dataclass_fields__.values() if field.type in ("int", "float", "Scheduled")]
    bounds = [{"above", "least"}, {"below", "most"}]
    assert [field.name for field in numbers if not all(bound & field.metadata.keys() for bound in bounds)] == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("batch", 10**12, "has batch = 1000000000000: batch must be from 2 to 65,536"),
        ("latent_dim", 10**70, "has latent_dim = 10+…: latent_dim must be from 1 to 16,384"),
        ("kimg", 1e300, r"has kimg = 1e\+300: kimg must be above 0 and at most 100,000,000"),
        ("beta1", float("nan"), "has beta1 = nan: beta1 must be at least 0 and below 1"),
        ("r1_gamma", float("inf"), "has r1_gamma = inf: r1_gamma must be from 0 to 1,000,000"),
        ("seed", 2**63, "seed must be from 0 to 9,223,372,036,854,775,807"),
    ],
)
def test_a_range_is_said(field: str, value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe("quick").with_overrides({field: value})


@pytest.mark.parametrize("values", [[], ["batch"], "quick", 3, None])
def test_what_is_no_table_is_no_recipe(values: object) -> None:
    with pytest.raises(InputError, match="A file must be a table of hyperparameters"):
        recipe_from_dict(values, "A file")  # type: ignore[arg-type]
