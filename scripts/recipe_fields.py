#!/usr/bin/env python3
"""Write docs/recipe-fields.md: every field of a recipe, from facegen.training.recipe.

Run it after you change a field or its meaning: scripts/recipe_fields.py
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

from facegen.training.recipe import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "recipe-fields.md"
INTRODUCTION = """\
# Fields of a recipe

A recipe is a TOML file with these fields. [training.md](training.md#your-own-recipe) shows how to write one. A field
that has a default may be left out. Every number has a range, and a value outside of it is an error that says the range.
A pair `[first, last]` moves from its first value to its last over `schedule_kimg`.

`scripts/recipe_fields.py` writes this page from the fields of `facegen.training.recipe.Recipe`.

| field | kind | default | meaning |
|---|---|---|---|
"""
KINDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true, false"}


def page() -> str:
    """Return the whole page, as Markdown."""
    rows = []
    for field in fields(Recipe):
        default = "" if field.default is MISSING else f" `{toml(field.default)}`"
        kind = KINDS.get(str(field.type), "number or pair")
        rows.append(f"| `{field.name}` | {kind} |{default or ' '} | {field.metadata['meaning']} |\n")
    return INTRODUCTION + "".join(rows)


def toml(value: object) -> str:
    """Return a default as it is written in a recipe's file."""
    return repr(value).replace("'", '"').replace("False", "false").replace("True", "true")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
