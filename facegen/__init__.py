"""facegen: face generation with GANs, and its honest measurement.

The public API is one function a stage: :func:`prepare`, :func:`train`, :func:`sample`, :func:`fid`,
:func:`pack`, :func:`grade` and :func:`run`; :func:`plan`, :func:`watch` and :func:`timelapse` of a run;
:func:`autograder` for Gradescope, :func:`interpolate` and :func:`arithmetic` of latents, :func:`inspect` of a network,
:func:`doctor` of this machine; their results; and four functions that add to facegen's tables, as
:func:`register_metric`. They load lazily: ``import facegen`` costs nothing until one is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, without the time that importing it takes
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "prepare": "facegen.stages.prepare",
    "train": "facegen.stages.train",
    "plan": "facegen.stages.plan",
    "watch": "facegen.stages.watch",
    "timelapse": "facegen.stages.timelapse",
    "sample": "facegen.stages.sample",
    "interpolate": "facegen.stages.interpolate",
    "arithmetic": "facegen.stages.arithmetic",
    "fid": "facegen.stages.fid",
    "pack": "facegen.stages.pack",
    "grade": "facegen.stages.grade",
    "autograder": "facegen.stages.autograder",
    "run": "facegen.stages.run",
    "inspect": "facegen.stages.inspect",
    "doctor": "facegen.stages.doctor",
    "register_architecture": "facegen.cnn.registry",
    "register_extractor": "facegen.extractors.table",
    "register_flag": "facegen.grading.flags.table",
    "register_metric": "facegen.scoring.metric_table",
    "Architecture": "facegen.cnn.architecture",
    "Extractor": "facegen.extractors.table",
    "FlagRule": "facegen.grading.flags.rule",
    "Metric": "facegen.scoring.metric",
    "PrepareResult": "facegen.stages.prepare",
    "TrainResult": "facegen.stages.train",
    "PlanResult": "facegen.stages.plan",
    "WatchResult": "facegen.stages.watch",
    "TimelapseResult": "facegen.stages.timelapse",
    "SampleResult": "facegen.stages.sample",
    "InterpolateResult": "facegen.stages.interpolate",
    "ArithmeticResult": "facegen.stages.arithmetic",
    "Score": "facegen.scoring.score",
    "PackResult": "facegen.stages.pack",
    "GradeResult": "facegen.stages.grade",
    "AutograderResult": "facegen.stages.autograder",
    "RunResult": "facegen.stages.run",
    "InspectResult": "facegen.stages.inspect",
    "DoctorResult": "facegen.stages.doctor",
    "FaceDataset": "facegen.data.dataset",
    "Recipe": "facegen.training.recipe",
    "FacegenError": "facegen.errors",
    "InputError": "facegen.errors",
    "EnvironmentProblem": "facegen.errors",
    "Refused": "facegen.errors",
}

__all__ = [
    "Architecture",
    "ArithmeticResult",
    "AutograderResult",
    "DoctorResult",
    "EnvironmentProblem",
    "Extractor",
    "FaceDataset",
    "FacegenError",
    "FlagRule",
    "GradeResult",
    "InputError",
    "InspectResult",
    "InterpolateResult",
    "Metric",
    "PackResult",
    "PlanResult",
    "PrepareResult",
    "Recipe",
    "Refused",
    "RunResult",
    "SampleResult",
    "Score",
    "TimelapseResult",
    "TrainResult",
    "WatchResult",
    "arithmetic",
    "autograder",
    "doctor",
    "fid",
    "grade",
    "inspect",
    "interpolate",
    "pack",
    "plan",
    "prepare",
    "register_architecture",
    "register_extractor",
    "register_flag",
    "register_metric",
    "run",
    "sample",
    "timelapse",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'facegen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
