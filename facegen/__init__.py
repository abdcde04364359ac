"""facegen: face generation with GANs, and its measurement.

The public API has one function per stage: :func:`prepare`, :func:`train`, :func:`sample`, :func:`fid`, :func:`pack`,
:func:`grade`, and :func:`run` for all of them. Others work on a run (:func:`plan`, :func:`watch`, :func:`timelapse`),
on latents (:func:`interpolate`, :func:`arithmetic`), on a network (:func:`inspect`), for Gradescope
(:func:`autograder`) and on this machine (:func:`doctor`). :class:`Scorer` measures images in a training loop of your
own. Four functions add to facegen's tables, for example :func:`register_metric`.

Every name is loaded when it is first used, so ``import facegen`` is fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it from typing takes time
if TYPE_CHECKING:  # tells type checkers what __getattr__ finds
    from facegen.cnn.architecture import Architecture as Architecture
    from facegen.cnn.registry import register_architecture as register_architecture
    from facegen.data.dataset import FaceDataset as FaceDataset
    from facegen.errors import EnvironmentProblem as EnvironmentProblem
    from facegen.errors import FacegenError as FacegenError
    from facegen.errors import InputError as InputError
    from facegen.errors import Refused as Refused
    from facegen.extractors.table import Extractor as Extractor
    from facegen.extractors.table import register_extractor as register_extractor
    from facegen.grading.flags.rule import FlagRule as FlagRule
    from facegen.grading.flags.table import register_flag as register_flag
    from facegen.scoring.in_memory import Scorer as Scorer
    from facegen.scoring.metric import Metric as Metric
    from facegen.scoring.metric_table import register_metric as register_metric
    from facegen.scoring.score import Score as Score
    from facegen.stages.arithmetic import ArithmeticResult as ArithmeticResult
    from facegen.stages.arithmetic import arithmetic as arithmetic
    from facegen.stages.autograder import AutograderResult as AutograderResult
    from facegen.stages.autograder import autograder as autograder
    from facegen.stages.doctor import DoctorResult as DoctorResult
    from facegen.stages.doctor import doctor as doctor
    from facegen.stages.fid import fid as fid
    from facegen.stages.grade import GradeResult as GradeResult
    from facegen.stages.grade import grade as grade
    from facegen.stages.inspect import InspectResult as InspectResult
    from facegen.stages.inspect import inspect as inspect
    from facegen.stages.interpolate import InterpolateResult as InterpolateResult
    from facegen.stages.interpolate import interpolate as interpolate
    from facegen.stages.pack import PackResult as PackResult
    from facegen.stages.pack import pack as pack
    from facegen.stages.plan import PlanResult as PlanResult
    from facegen.stages.plan import plan as plan
    from facegen.stages.prepare import PrepareResult as PrepareResult
    from facegen.stages.prepare import prepare as prepare
    from facegen.stages.run import RunResult as RunResult
    from facegen.stages.run import run as run
    from facegen.stages.sample import SampleResult as SampleResult
    from facegen.stages.sample import sample as sample
    from facegen.stages.timelapse import TimelapseResult as TimelapseResult
    from facegen.stages.timelapse import timelapse as timelapse
    from facegen.stages.train import TrainResult as TrainResult
    from facegen.stages.train import train as train
    from facegen.stages.watch import WatchResult as WatchResult
    from facegen.stages.watch import watch as watch
    from facegen.training.recipe import Recipe as Recipe

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
    "Scorer": "facegen.scoring.in_memory",
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
    "Scorer",
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


if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in _EXPORTS:
            raise AttributeError(f"module 'facegen' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
