"""A recipe: every hyperparameter of a run, as a frozen dataclass and as TOML.

A run is its recipe, its dataset's hash and its seed.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from facegen.errors import InputError
from facegen.gan.augmentation import parse_policies
from facegen.gan.discriminators import NORMS, PUBLISHED, WEIGHT_NORMS, discriminator_names
from facegen.gan.generators import generator_names
from facegen.gan.losses import LOSSES
from facegen.printable import printable_lines
from facegen.toml_file import parse_toml, read_toml
from facegen.training.former_recipes import by_present_names, by_present_values
from facegen.training.hyperparameter import (
    LARGEST_INTEGER,
    MOST_BATCH,
    MOST_CHANNELS,
    MOST_KIMG,
    MOST_MINUTES,
    MOST_WEIGHT,
    REQUIRED,
    Scheduled,
    hyperparameter,
    require_within_limits,
)

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

#: In place of an architecture: D sees features alone.
NO_PIXELS = "none"
#: Frozen networks that a critic can see through, each with the name that scores in its features go by.
TRAINED_AGAINST = {"efficientnet_lite0": "effnet-lite0"}

#: How much of the way from a pair's first value to its second is gone, by the fraction of ``schedule_kimg`` that is.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda fraction: (1 - math.cos(math.pi * fraction)) / 2,
    "linear": lambda fraction: fraction,
}


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of a run. Construction checks each field and raises InputError with its name."""

    name: str = hyperparameter("what the run calls itself")
    generator: str = hyperparameter("architecture of G", choices=generator_names)
    generator_width: int = hyperparameter("channels before G's last layer", least=1, most=MOST_CHANNELS)
    latent_dim: int = hyperparameter("entries of a latent", least=1, most=16_384)
    discriminator: str = hyperparameter(
        "architecture of D, the critic of pixels; none leaves it out",
        choices=lambda: (*discriminator_names(), NO_PIXELS),
    )
    discriminator_width: int = hyperparameter("channels after D's first block", least=1, most=MOST_CHANNELS)
    discriminator_norm: str = hyperparameter("norm of D's activations, or what it was published with", choices=NORMS)
    loss: str = hyperparameter("adversarial loss", choices=tuple(LOSSES))
    batch: int = hyperparameter("images a step, over all ranks together", least=2, most=MOST_BATCH)
    kimg: float = hyperparameter("length: thousands of real images shown to D", above=0, most=MOST_KIMG)
    generator_lr: Scheduled = hyperparameter("G's Adam learning rate", least=0, most=10)
    discriminator_lr: Scheduled = hyperparameter("D's Adam learning rate", least=0, most=10)
    beta1: float = hyperparameter("Adam's first-moment decay", least=0, below=1)
    beta2: Scheduled = hyperparameter("Adam's second-moment decay", least=0, below=1)
    ema_half_life_kimg: Scheduled = hyperparameter(
        "half-life of the averaged generator's weights, in kimg", least=0, most=MOST_KIMG
    )
    mirror: bool = hyperparameter("flip half of the real images left to right")
    seed: int = hyperparameter("of weights, data order, flips and latents", least=0, most=LARGEST_INTEGER)
    precision: str = hyperparameter(
        "auto: bf16 where the processor is quick in it, fp16 on an older GPU if nothing is penalised, else fp32",
        choices=PRECISIONS,
    )
    compile: bool = hyperparameter("torch.compile the step; needs a C++ compiler on a CPU, Triton on a GPU")
    tick_kimg: float = hyperparameter("kimg between two lines of the log", above=0, most=MOST_KIMG)
    score_every: float = hyperparameter(
        "kimg between two scores of the averaged generator; 0: never", least=0, most=MOST_KIMG
    )
    score_images: int = hyperparameter("images a score generates", least=2, most=1_000_000)
    checkpoint_every: float = hyperparameter("kimg between two checkpoints and sample grids", above=0, most=MOST_KIMG)
    d_steps: int = hyperparameter("D's updates, each with a batch of its own, for one of G's", 1, least=1, most=1000)
    schedule: str = hyperparameter("how pairs of values are gone through", "cosine", choices=tuple(SCHEDULES))
    schedule_kimg: float = hyperparameter("kimg after which a pair's second value stays", 0.0, least=0, most=MOST_KIMG)
    r1_gamma: Scheduled = hyperparameter(
        "γ of R1, the penalty on D's gradient at real images", 0.0, least=0, most=MOST_WEIGHT
    )
    r2_gamma: Scheduled = hyperparameter("γ of R2, the same at generated images", 0.0, least=0, most=MOST_WEIGHT)
    gradient_penalty: float = hyperparameter("λ of WGAN-GP's penalty between them", 0.0, least=0, most=MOST_WEIGHT)
    penalty_every: int = hyperparameter(
        "D's updates for one with penalties, which weigh that many times more", 1, least=1, most=10_000
    )
    augment: str = hyperparameter("what D sees altered, real and generated alike: color,translation,cutout,flip", "")
    augment_probability: Scheduled = hyperparameter("of each alteration of an image", 1.0, least=0, most=1)
    ada_target: float = hyperparameter(
        "overfitting that controls that probability from its first value on; 0: none does", 0.0, least=0, most=1
    )
    ada_kimg: float = hyperparameter(
        "kimg in which that probability can go from 0 to 1", 500.0, above=0, most=MOST_KIMG
    )
    minutes: float = hyperparameter(
        "length by the clock in place of kimg, which then is what the first seconds' pace will reach; schedules are "
        "stretched to it",
        0.0,
        least=0,
        most=MOST_MINUTES,
    )
    score_minutes: float = hyperparameter(
        "minutes that are between two scores at least", 0.0, least=0, most=MOST_MINUTES
    )
    checkpoint_minutes: float = hyperparameter(
        "minutes that are between two checkpoints at least", 0.0, least=0, most=MOST_MINUTES
    )
    cuda_graphs: bool = hyperparameter("replay a step as a CUDA graph, where that works", False)
    sync_batch_norm: bool = hyperparameter("BatchNorm's statistics: of all ranks' images, not of each rank's", False)
    features: str = hyperparameter(
        "frozen network whose features a second critic sees; empty: there is none", "", choices=("", *TRAINED_AGAINST)
    )
    features_size: int = hyperparameter("side that the frozen network's input is brought to", 64, least=32, most=1024)
    features_width: int = hyperparameter(
        "channels of the features' critic at 32×32; twice that at 16×16", 32, least=1, most=MOST_CHANNELS
    )
    moments_weight: Scheduled = hyperparameter(
        "of G's distance from the mean and covariance of real features; 0: G does not learn from it",
        0.0,
        least=0,
        most=MOST_WEIGHT,
    )
    moments_half_life_kimg: float = hyperparameter(
        "half-life of the averages of these moments, in kimg", 6.0, above=0, most=MOST_KIMG
    )
    features_gamma: Scheduled = hyperparameter("γ of R1 and R2 on the features' critic", 5.0, least=0, most=MOST_WEIGHT)
    chroma_cutoff: float = hyperparameter(
        "where a low-pass halves G's colour, as a share of the highest frequency; 0: none does", 0.0, least=0, below=1
    )

    discriminator_weight_norm: str = hyperparameter(
        "norm of D's weights; published: that of the published network, if discriminator_norm is published too",
        PUBLISHED,
        choices=WEIGHT_NORMS,
    )

    #: Fields that a resumed run may change: they decide how long and how it is watched, not what is learned.
    RESUMABLE = (
        *("name", "kimg", "minutes", "precision", "compile", "cuda_graphs"),
        *("score_every", "score_images", "score_minutes", "checkpoint_every", "checkpoint_minutes"),
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # TOML's and JSON's pairs
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            require_within_limits(field, value, self.name)
        pairs = [name for name, value in dataclasses.asdict(self).items() if isinstance(value, tuple)]
        if pairs and not self.schedule_kimg:
            raise InputError(
                f"The recipe {self.name!r} has a pair of values for {', '.join(pairs)} and no schedule_kimg.",
                "Say after how many kimg the second value is reached.",
            )
        if not (self.sees_pixels or self.features):
            raise InputError(
                f"The recipe {self.name!r} has no discriminator and no features, so D sees nothing.",
                "Name one of them.",
            )
        if self.moments_weight and not self.features:
            raise InputError(
                f"The recipe {self.name!r} matches the moments of features and has no features.",
                "Say features, or leave moments_weight out.",
            )
        try:
            parse_policies(self.augment)
        except ValueError as problem:
            raise InputError(f"The recipe {self.name!r} has augment = {self.augment!r}: {problem}.") from problem

    @property
    def sees_pixels(self) -> bool:
        return self.discriminator != NO_PIXELS

    @property
    def is_penalised(self) -> bool:
        """Whether D's gradient is penalised, and differentiated once more for it."""
        return bool(self.r1_gamma or self.r2_gamma or self.gradient_penalty or (self.features and self.features_gamma))

    @property
    def trained_against(self) -> str | None:
        """The extractor whose network's features G is trained against, by the name that scores call it; or None."""
        return TRAINED_AGAINST[self.features] if self.features else None

    @property
    def total_images(self) -> int:
        return round(self.kimg * 1000)

    @property
    def images_per_step(self) -> int:
        """Real images shown to D in one step of training, over all ranks together."""
        return self.batch * self.d_steps

    def at(self, name: str, images_seen: int) -> float:
        """The value of a scheduled field after so many images."""
        value = getattr(self, name)
        if not isinstance(value, tuple):
            return float(value)
        first, last = value
        done = SCHEDULES[self.schedule](min(1.0, images_seen / (1000 * self.schedule_kimg)))
        return float(first + (last - first) * done)

    def learned_fields(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in self.RESUMABLE}

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The recipe as TOML that :func:`load_recipe` reads back unchanged."""
        # A pair stays on one line. Strings have no line breaks of their own: they are written as escapes.
        toml = re.sub(r"\[\n +(.+),\n +(.+),\n\]", r"[\1, \2]", tomli_w.dumps(dataclasses.asdict(self)))
        return printable_lines(toml)  # whose \u202e is an escape of TOML, too

    def with_overrides(self, overrides: Mapping[str, Any]) -> Recipe:
        """A copy with the fields that are not None replaced. InputError for a value out of its limits, or no field."""
        source = f"What replaces fields of the recipe {self.name}"
        given = by_present_names({key: value for key, value in overrides.items() if value is not None}, source)
        return recipe_from_dict({**self.to_dict(), **given}, source)


def recipe_names() -> list[str]:
    """The recipes that come with facegen."""
    folder = files("facegen.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path) -> Recipe:
    """A recipe by name, or from a TOML file.

    Raises:
        InputError: no such recipe; not TOML; a key that no recipe has (the message names the near one); a key
            missing; or a value out of its limits.
    """
    if str(name_or_file) in recipe_names():
        source = f"The recipe {name_or_file}"
        text = (files("facegen.training") / "recipes" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    else:
        path = Path(name_or_file)
        source = str(path)
        if not path.is_file():
            near = get_close_matches(str(name_or_file), recipe_names(), n=1)
            raise InputError(
                f"There is no recipe {str(name_or_file)!r}, neither by that name nor as a file.",
                f"Did you mean {near[0]!r}?" if near else f"Recipes: {', '.join(recipe_names())}; or a TOML file.",
            )
        return recipe_from_dict(read_toml(path, f"The recipe {path}"), source)
    return recipe_from_dict(parse_toml(text, source), source)


def recipe_from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from its fields, by present or former names; ``source`` is what an error calls them."""
    if not isinstance(values, Mapping):  # JSON of a file, say
        raise InputError(f"{source} is no table of hyperparameters but one {type(values).__name__}.")
    values = by_present_values(by_present_names(values, source), source)
    known = [field.name for field in dataclasses.fields(Recipe)]
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise InputError(
                f"{source} has {key!r}, which is no hyperparameter.",
                f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}.",
            )
    required = [field.name for field in dataclasses.fields(Recipe) if field.default is REQUIRED]
    missing = [key for key in required if key not in values]
    if missing:
        raise InputError(
            f"{source} lacks {', '.join(missing)}.",
            "Start from a whole recipe: the recipe.toml of any run is one.",
        )
    return Recipe(**values)
