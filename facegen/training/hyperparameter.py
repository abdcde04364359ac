"""A hyperparameter: a field of a recipe, with its meaning and the values that it can have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from facegen.errors import InputError

#: A number, or a pair that the recipe's schedule goes through, from the first to the second.
Scheduled = float | tuple[float, float]
REQUIRED = dataclasses.MISSING
#: TOML's largest whole number.
LARGEST_INTEGER = 2**63 - 1
#: Thousands of images that no run will see: at 10,000 images a second they take four months.
MOST_KIMG = 100_000_000
#: Ten years.
MOST_MINUTES = 5_256_000
#: Channels of the layer whose width a network's other layers are multiples of; the widest published G has 512 there.
MOST_CHANNELS = 4096
#: Images or latents that are held in memory together.
MOST_BATCH = 65_536
#: Weights of penalties and of other losses.
MOST_WEIGHT = 1_000_000
#: How much is shown of a value that is wrong.
_SHOWN = 60


def hyperparameter(meaning: str, default: Any = REQUIRED, **limits: Any) -> Any:
    """A dataclass's field with its meaning (shown in the docs) and limits: ``above`` or ``least``, and ``below`` or
    ``most``, of every number; ``choices`` (a function, where what can be chosen may grow) of words.

    Only what is off unless asked for has a default: a recipe says everything that it does.
    """
    return dataclasses.field(default=default, metadata={"meaning": meaning, **limits})


def require_within_limits(field: dataclasses.Field[Any], value: Any, recipe: object) -> None:
    """InputError, with the names of the recipe and of the field, for a value of another type or out of its limits."""
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
        wrong = ", which must be a number or a pair of them" if name == "Scheduled" else f", which must be {name}"
    elif choices and value not in choices:
        wrong = f", which must be one of {', '.join(choices)}"
    elif isinstance(value, numbers) and kind != (bool,) and not _is_within(value, limits):
        wrong = f": {field.name} is {said_range(limits)}"
    if wrong:
        remedy = "One of your own is known once its package is installed or imported." if may_grow else None
        raise InputError(f"The recipe {recipe!r} has {field.name} = {_shown(value)}{wrong}.", remedy)


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # of thousands of digits, or nested as deep
        return f"one {type(value).__name__}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _is_within(value: float, limits: Mapping[str, Any]) -> bool:
    """Whether a number is; NaN is nowhere."""
    above_least = value > limits["above"] if "above" in limits else value >= limits["least"]
    below_most = value < limits["below"] if "below" in limits else value <= limits["most"]
    return above_least and below_most


def said_range(limits: Mapping[str, Any]) -> str:
    """The numbers within limits, in words: "from 2 to 65,536", "above 0 and at most 1", "at least 0 and below 1"."""
    if "least" in limits and "most" in limits:
        return f"from {limits['least']:,} to {limits['most']:,}"
    least = f"above {limits['above']:,}" if "above" in limits else f"at least {limits['least']:,}"
    most = f"below {limits['below']:,}" if "below" in limits else f"at most {limits['most']:,}"
    return f"{least} and {most}"
