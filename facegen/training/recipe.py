"""A recipe: every hyperparameter of a run, as a frozen dataclass and as TOML.

The recipe, the dataset's hash and the seed together define a run.
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

#: The value of ``discriminator`` that leaves the critic of pixels out. The discriminator then sees features only.
NO_PIXELS = "none"
#: The frozen networks whose features a critic can see, each with the name of the extractor that scores by its features.
TRAINED_AGAINST = {"efficientnet_lite0": "effnet-lite0"}

#: For each schedule: progress from the first value of a pair to the second, as a function of the elapsed fraction of
#: ``schedule_kimg``. Both are in [0, 1].
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda fraction: (1 - math.cos(math.pi * fraction)) / 2,
    "linear": lambda fraction: fraction,
}


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of a run.

    The constructor checks each field. It raises InputError with the field's name for a value that is not allowed. A
    field of type ``Scheduled`` is a number, or a pair ``(first, last)`` that the schedule moves through.
    """

    name: str = hyperparameter("Name of the recipe.")
    generator: str = hyperparameter("Architecture of the generator.", choices=generator_names)
    generator_width: int = hyperparameter(
        "Number of channels before the generator's last layer.", least=1, most=MOST_CHANNELS
    )
    latent_dim: int = hyperparameter("Number of entries of a latent.", least=1, most=16_384)
    discriminator: str = hyperparameter(
        "Architecture of the discriminator that sees pixels. none: the recipe has no such discriminator.",
        choices=lambda: (*discriminator_names(), NO_PIXELS),
    )
    discriminator_width: int = hyperparameter(
        "Number of channels after the discriminator's first block.", least=1, most=MOST_CHANNELS
    )
    discriminator_norm: str = hyperparameter(
        "Normalisation of the discriminator's activations. published: as in the published architecture.", choices=NORMS
    )
    loss: str = hyperparameter("Adversarial loss.", choices=tuple(LOSSES))
    batch: int = hyperparameter("Number of images per step, summed over all ranks.", least=2, most=MOST_BATCH)
    kimg: float = hyperparameter(
        "Length of the run: thousands of real images shown to the discriminator.", above=0, most=MOST_KIMG
    )
    generator_lr: Scheduled = hyperparameter("Learning rate of the generator's Adam optimizer.", least=0, most=10)
    discriminator_lr: Scheduled = hyperparameter(
        "Learning rate of the discriminator's Adam optimizer.", least=0, most=10
    )
    beta1: float = hyperparameter("Decay of Adam's first moment.", least=0, below=1)
    beta2: Scheduled = hyperparameter("Decay of Adam's second moment.", least=0, below=1)
    ema_half_life_kimg: Scheduled = hyperparameter(
        "Half-life of the EMA of the generator's weights, in kimg.", least=0, most=MOST_KIMG
    )
    mirror: bool = hyperparameter("Whether to flip half of the real images left to right.")
    seed: int = hyperparameter(
        "Seed of the initial weights, the order of the data, the flips and the latents.", least=0, most=LARGEST_INTEGER
    )
    precision: str = hyperparameter(
        "Arithmetic of the networks. auto: bf16 where the processor is fast in it; else fp16 on a GPU if the recipe "
        "has no gradient penalty; else fp32.",
        choices=PRECISIONS,
    )
    compile: bool = hyperparameter(
        "Whether to compile the step with torch.compile. It needs a C++ compiler on a CPU and Triton on a GPU."
    )
    tick_kimg: float = hyperparameter("Kimg between two lines of the log.", above=0, most=MOST_KIMG)
    score_every: float = hyperparameter(
        "Kimg between two scores of the averaged generator. 0: the run is never scored.", least=0, most=MOST_KIMG
    )
    score_images: int = hyperparameter("Number of images generated for a score.", least=2, most=1_000_000)
    checkpoint_every: float = hyperparameter(
        "Kimg between two checkpoints. Each comes with a grid of samples.", above=0, most=MOST_KIMG
    )
    d_steps: int = hyperparameter(
        "Updates of the discriminator for each update of the generator. Each update has its own batch.",
        1,
        least=1,
        most=1000,
    )
    schedule: str = hyperparameter(
        "How a value moves from the first to the second of its pair.", "cosine", choices=tuple(SCHEDULES)
    )
    schedule_kimg: float = hyperparameter(
        "Kimg after which every pair has reached its second value.", 0.0, least=0, most=MOST_KIMG
    )
    r1_gamma: Scheduled = hyperparameter(
        "γ of the R1 penalty on the discriminator's gradient at real images.", 0.0, least=0, most=MOST_WEIGHT
    )
    r2_gamma: Scheduled = hyperparameter(
        "γ of the R2 penalty on the discriminator's gradient at generated images.", 0.0, least=0, most=MOST_WEIGHT
    )
    gradient_penalty: float = hyperparameter(
        "λ of WGAN-GP's penalty on the discriminator's gradient between real and generated images.",
        0.0,
        least=0,
        most=MOST_WEIGHT,
    )
    penalty_every: int = hyperparameter(
        "One in this many updates of the discriminator has penalties. Their weights are multiplied by the same number.",
        1,
        least=1,
        most=10_000,
    )
    augment: str = hyperparameter(
        "Augmentation policies for the images that the discriminator sees, real and generated, separated by commas: "
        "color,translation,cutout,flip. Empty: none.",
        "",
    )
    augment_probability: Scheduled = hyperparameter(
        "Probability of each operation of the augmentation, for each image.", 1.0, least=0, most=1
    )
    ada_target: float = hyperparameter(
        "Overfitting that ADA holds, as the mean sign of the discriminator on real images; 0.6 in the paper. The "
        "augmentation's probability starts at its first value, and rises while the overfitting is above this target. "
        "0: no ADA.",
        0.0,
        least=0,
        most=1,
    )
    ada_kimg: float = hyperparameter(
        "Kimg in which ADA can move the augmentation's probability from 0 to 1.", 500.0, above=0, most=MOST_KIMG
    )
    minutes: float = hyperparameter(
        "Length of the run by the clock, in minutes, in place of kimg. The pace of the first seconds then sets kimg, "
        "and the schedules are stretched to it. 0: kimg is the length.",
        0.0,
        least=0,
        most=MOST_MINUTES,
    )
    score_minutes: float = hyperparameter(
        "Minimum number of minutes between two scores.", 0.0, least=0, most=MOST_MINUTES
    )
    checkpoint_minutes: float = hyperparameter(
        "Minimum number of minutes between two checkpoints.", 0.0, least=0, most=MOST_MINUTES
    )
    cuda_graphs: bool = hyperparameter("Whether to replay each step as a CUDA graph, where that works.", False)
    sync_batch_norm: bool = hyperparameter(
        "Whether BatchNorm takes its statistics over the images of all ranks, instead of each rank's own.", False
    )
    features: str = hyperparameter(
        "Frozen network whose features a second critic sees. Empty: there is no such critic.",
        "",
        choices=("", *TRAINED_AGAINST),
    )
    features_size: int = hyperparameter(
        "Side to which images are resized for the frozen network, in pixels.", 64, least=32, most=1024
    )
    features_width: int = hyperparameter(
        "Number of channels of the critic of features at 32×32. It has twice as many at 16×16.",
        32,
        least=1,
        most=MOST_CHANNELS,
    )
    moments_weight: Scheduled = hyperparameter(
        "Weight, in the generator's loss, of the distance of its features from the mean and covariance of real "
        "features. 0: no such term.",
        0.0,
        least=0,
        most=MOST_WEIGHT,
    )
    moments_half_life_kimg: float = hyperparameter(
        "Half-life of the running averages of these moments, in kimg.", 6.0, above=0, most=MOST_KIMG
    )
    features_gamma: Scheduled = hyperparameter(
        "γ of the R1 and R2 penalties on the critic of features.", 5.0, least=0, most=MOST_WEIGHT
    )
    chroma_cutoff: float = hyperparameter(
        "Frequency at which a low-pass filter halves the colour of generated images, as a fraction of the highest "
        "frequency. 0: no filter.",
        0.0,
        least=0,
        below=1,
    )

    discriminator_weight_norm: str = hyperparameter(
        "Normalisation of the discriminator's weights. published: as in the published architecture, provided that "
        "discriminator_norm is published too.",
        PUBLISHED,
        choices=WEIGHT_NORMS,
    )

    #: Fields that may change when a run is resumed. They decide how long it trains and how it is watched, but not
    #: what it learns.
    RESUMABLE = (
        *("name", "kimg", "minutes", "precision", "compile", "cuda_graphs"),
        *("score_every", "score_images", "score_minutes", "checkpoint_every", "checkpoint_minutes"),
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # A pair is a list in TOML and JSON.
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            require_within_limits(field, value, self.name)
        pairs = [name for name, value in dataclasses.asdict(self).items() if isinstance(value, tuple)]
        if pairs and not self.schedule_kimg:
            raise InputError(
                f"The recipe {self.name!r} has a pair of values for {', '.join(pairs)} but no schedule_kimg.",
                "Set schedule_kimg to the number of kimg after which the second value is reached.",
            )
        if not (self.sees_pixels or self.features):
            raise InputError(
                f"The recipe {self.name!r} has no discriminator and no features, so nothing judges the generator.",
                "Set discriminator or features.",
            )
        if self.moments_weight and not self.features:
            raise InputError(
                f"The recipe {self.name!r} sets moments_weight but has no features to match.",
                "Set features, or remove moments_weight.",
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
        """Whether the discriminator has a gradient penalty, which takes a double backward pass."""
        return bool(self.r1_gamma or self.r2_gamma or self.gradient_penalty or (self.features and self.features_gamma))

    @property
    def trained_against(self) -> str | None:
        """The name of the extractor in whose features the generator is trained; None if there is none."""
        return TRAINED_AGAINST[self.features] if self.features else None

    @property
    def total_images(self) -> int:
        return round(self.kimg * 1000)

    @property
    def images_per_step(self) -> int:
        """Number of real images shown to the discriminator in one training step, summed over all ranks."""
        return self.batch * self.d_steps

    def at(self, name: str, images_seen: int) -> float:
        """Return the value of a scheduled field after ``images_seen`` images."""
        value = getattr(self, name)
        if not isinstance(value, tuple):
            return float(value)
        first, last = value
        done = SCHEDULES[self.schedule](min(1.0, images_seen / (1000 * self.schedule_kimg)))
        return float(first + (last - first) * done)

    def learned_fields(self) -> dict[str, Any]:
        """Return the fields that a checkpoint's recipe and this one must have in common, for the run to continue."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in self.RESUMABLE}

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """Return the recipe as TOML that :func:`load_recipe` reads back unchanged."""
        # Keep each pair on one line. Strings contain no line breaks of their own, because TOML writes them as escapes.
        toml = re.sub(r"\[\n +(.+),\n +(.+),\n\]", r"[\1, \2]", tomli_w.dumps(dataclasses.asdict(self)))
        return printable_lines(toml)  # An escape such as \u202e is valid TOML, too.

    def with_overrides(self, overrides: Mapping[str, Any]) -> Recipe:
        """Return a copy in which the overrides that are not None replace fields.

        Raises:
            InputError: An override names no field, or its value is outside the field's limits.
        """
        source = f"The set of changes to the recipe {self.name}"
        given = by_present_names({key: value for key, value in overrides.items() if value is not None}, source)
        return recipe_from_dict({**self.to_dict(), **given}, source)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with facegen."""
    folder = files("facegen.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path) -> Recipe:
    """Load a recipe by its name, or from a TOML file.

    Raises:
        InputError: There is no such recipe; the file is not TOML; a key is unknown (the message suggests the nearest
            one) or missing; or a value is outside its limits.
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
                f"There is no recipe named {str(name_or_file)!r}, and no such file.",
                f"Did you mean {near[0]!r}?" if near else f"Use {', '.join(recipe_names())}, or a TOML file.",
            )
        return recipe_from_dict(read_toml(path, f"The recipe {path}"), source)
    return recipe_from_dict(parse_toml(text, source), source)


def recipe_from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """Return the recipe with these fields.

    Args:
        values: The fields, by their present or former names.
        source: What an error message calls the origin of the values.
    """
    if not isinstance(values, Mapping):  # A value of another type, such as a list in a JSON file.
        raise InputError(f"{source} must be a table of hyperparameters, not of type {type(values).__name__}.")
    values = by_present_values(by_present_names(values, source), source)
    known = [field.name for field in dataclasses.fields(Recipe)]
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise InputError(
                f"{source} has {key!r}, which is not a hyperparameter.",
                f"Did you mean {near[0]!r}?" if near else f"The hyperparameters are: {', '.join(known)}.",
            )
    required = [field.name for field in dataclasses.fields(Recipe) if field.default is REQUIRED]
    missing = [key for key in required if key not in values]
    if missing:
        raise InputError(
            f"{source} lacks {', '.join(missing)}.",
            "Start from a complete recipe, such as the recipe.toml of any run.",
        )
    return Recipe(**values)
