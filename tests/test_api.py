"""The stages as functions: a path may be a string everywhere."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import facegen
from facegen.errors import FacegenError

STAGES = [name for name in facegen.__all__ if name.islower()]

#: Enough of what each stage requires besides its paths.
OTHERS = {
    "pack": {"student_number": "s1"},
    "arithmetic": {"add": [[0]]},
    "prepare": {"source": "absent"},
    "run": {"source": "absent"},
}


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in ("inspect", "doctor")])
def test_a_path_may_be_a_string(stage: str, tmp_path: Path) -> None:
    """Each path of the signature given as text that names nothing: the answer is a sentence, not an AttributeError."""
    function = getattr(facegen, stage)
    paths = {
        name: str(tmp_path / f"{name}.npz")
        for name, parameter in inspect.signature(function).parameters.items()
        if "Path" in parameter.annotation and name not in ("recipe", "source")
    }
    assert paths
    with pytest.raises(FacegenError):
        function(**paths, **OTHERS.get(stage, {}))
