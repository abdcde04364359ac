from __future__ import annotations

from pathlib import Path

import pytest

from facegen.training.recipe import load_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file for a game of a few thousand weights and four steps."""
    small = {"generator_width": 2, "discriminator_width": 2, "batch": 8, "kimg": 0.032, "tick_kimg": 0.016}
    path = tmp_path / "tiny.toml"
    path.write_text(load_recipe("quick").with_overrides(small).to_toml(), encoding="utf-8")
    return path
