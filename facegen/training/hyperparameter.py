"""A hyperparameter: a field of a recipe, with its meaning and its allowed values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from facegen.errors import InputError

#: A number, or a pair of numbers. The recipe's schedule moves a pair from its first value to its second.
Scheduled = float | tuple[float, float]
REQUIRED = dataclasses.MISSING
#: The largest integer of TOML.
LARGEST_INTEGER = 2**63 - 1
#: Maximum length of a run, in kimg. No run gets there: at 10,000 images per second it would take four months.
MOST_KIMG = 100_000_000
#: Maximum length of a run, in minutes: ten years.
MOST_MINUTES = 5_256_000
#: Maximum number of channels in the layer that sets a network's width. The widest published generator has 512 there.
MOST_CHANNELS = 4096
#: Maximum number of images or latents held in memory together.
MOST_BATCH = 65_536
#: Maximum weight of a penalty or of another loss.
MOST_WEIGHT = 1_000_000
#: Maximum number of characters of a wrong value that a message shows.
_SHOWN = 60


def hyperparameter(meaning: str, default: Any = REQUIRED, **limits: Any) -> Any:
    """Return a dataclass field with a meaning and limits.

    Only a field that is off by default has a default. So a recipe states everything that it does.

    Args:
        meaning: One or two sentences, which the documentation shows.
        default: The default value; without one, a recipe must set the field.
        limits: For a number, ``above`` or ``least``, and ``below`` or ``most``. For a word, ``choices``: a
            collection, or a function that returns one where packages can add choices.
    """
    return dataclasses.field(default=default, metadata={"meaning": meaning, **limits})


def require_within_limits(field: dataclasses.Field[Any], value: Any, recipe: object) -> None:
    """Raise InputError for a value of the wrong type or outside its limits.

    The message names the recipe and the field.
    """
    limits = field.metadata
    name = str(field.type)
    if name == "Scheduled" and isinstance(value, tuple) and len(value) == 2:
        for end in value:
            require_within_limits(field, end, recipe)
        return
    numbers = (int, float)
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": numbers, "bool": (bool,)}
    kind = numbers if name == "Scheduled" else kinds[name]
    choices = limits.get("choices", ())
    may_grow = callable(choices)
    choices = choices() if may_grow else choices
    wrong = None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind != (bool,)):
        wrong = ", which must be a number or a pair of numbers" if name == "Scheduled" else f", which must be {name}"
    elif choices and value not in choices:
        wrong = f", which must be one of {', '.join(choices)}"
    elif isinstance(value, numbers) and kind != (bool,) and not _is_within(value, limits):
        wrong = f": {field.name} must be {said_range(limits)}"
    if wrong:
        remedy = "To use one of your own, install or import its package." if may_grow else None
        raise InputError(f"The recipe {recipe!r} has {field.name} = {_shown(value)}{wrong}.", remedy)


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # A number with thousands of digits, or deep nesting.
        return f"one {type(value).__name__}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _is_within(value: float, limits: Mapping[str, Any]) -> bool:
    """Return whether a number is within its limits. NaN never is."""
    above_least = value > limits["above"] if "above" in limits else value >= limits["least"]
    below_most = value < limits["below"] if "below" in limits else value <= limits["most"]
    return above_least and below_most


def said_range(limits: Mapping[str, Any]) -> str:
    """Return the range of a number in words: "from 2 to 65,536", "above 0 and at most 1", "at least 0 and below 1"."""
    if "least" in limits and "most" in limits:
        return f"from {limits['least']:,} to {limits['most']:,}"
    least = f"above {limits['above']:,}" if "above" in limits else f"at least {limits['least']:,}"
    most = f"below {limits['below']:,}" if "below" in limits else f"at most {limits['most']:,}"
    return f"{least} and {most}"
