"""A hyperparameter: a field of a recipe, with its meaning and the values that it can have."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from facegen.errors import InputError

#: float32's largest number: the device takes what schedules say in it.
LARGEST = 3.4e38

#: A number, or a pair that the recipe's schedule goes through, from the first to the second.
Scheduled = float | tuple[float, float]
REQUIRED = dataclasses.MISSING


def hyperparameter(meaning: str, default: Any = REQUIRED, **limits: Any) -> Any:
    """A dataclass's field with its meaning (shown in the docs) and limits: ``above``, ``least``, ``below``, ``most``,
    and ``choices`` (a function, where what can be chosen may grow).

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
        wrong = "must be a number or a pair of them" if name == "Scheduled" else f"must be {name}"
    elif choices and value not in choices:
        wrong = f"must be one of {', '.join(choices)}"
    elif not isinstance(value, str) and value != value:
        wrong = "must be a number"
    elif ("above" in limits and not value > limits["above"]) or ("least" in limits and not value >= limits["least"]):
        wrong = f"must be above {limits['above']}" if "above" in limits else f"must be at least {limits['least']}"
    elif "below" in limits and not value < limits["below"]:
        wrong = f"must be below {limits['below']}"
    elif "most" in limits and not value <= limits["most"]:
        wrong = f"must be at most {limits['most']}"
    elif isinstance(value, numbers) and value > LARGEST:
        wrong = "must be finite" if value == math.inf else "is too large for float32"
    if wrong:
        remedy = "One of your own is known once its package is installed or imported." if may_grow else None
        raise InputError(f"The recipe {recipe!r} has {field.name} = {value!r}, which {wrong}.", remedy)
