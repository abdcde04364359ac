"""facegen: face generation with GANs, and its honest measurement.

The public API is one function a stage: :func:`prepare`, :func:`train`, :func:`sample`, :func:`fid`,
:func:`pack`, :func:`grade` and :func:`run`, :func:`interpolate` and :func:`arithmetic` of latents, and
:func:`inspect` of a network, :func:`doctor` of this machine. They load lazily: ``import facegen`` costs nothing until
one is used.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "prepare": "facegen.stages.prepare",
    "train": "facegen.stages.train",
    "sample": "facegen.stages.sample",
    "interpolate": "facegen.stages.interpolate",
    "arithmetic": "facegen.stages.arithmetic",
    "fid": "facegen.stages.fid",
    "pack": "facegen.stages.pack",
    "grade": "facegen.stages.grade",
    "run": "facegen.stages.run",
    "inspect": "facegen.stages.inspect",
    "doctor": "facegen.stages.doctor",
    "SampleResult": "facegen.stages.sample",
    "InterpolateResult": "facegen.stages.interpolate",
    "ArithmeticResult": "facegen.stages.arithmetic",
    "InspectResult": "facegen.stages.inspect",
    "RunResult": "facegen.stages.run",
    "FaceDataset": "facegen.data.dataset",
    "Recipe": "facegen.training.recipe",
    "Score": "facegen.scoring.score",
    "FacegenError": "facegen.errors",
}

__all__ = [
    "ArithmeticResult",
    "FaceDataset",
    "FacegenError",
    "InspectResult",
    "InterpolateResult",
    "Recipe",
    "RunResult",
    "SampleResult",
    "Score",
    "arithmetic",
    "doctor",
    "fid",
    "grade",
    "inspect",
    "interpolate",
    "pack",
    "prepare",
    "run",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'facegen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
