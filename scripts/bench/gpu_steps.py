"""The checks of gpu_check.py that run training steps: compiled and captured steps, memory, and synchronisation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from unittest import mock

import torch
from gpu_compare import (
    CPU,
    FIRST,
    MARGIN,
    MIB,
    NEEDS_CUDA,
    PRECISIONS,
    STILL,
    Part,
    Result,
    Setting,
    StepResult,
    difference,
    disturb,
    figure_error,
    flat,
    gradients_of,
    load,
    networks_of,
    on_cpu,
    relative,
    run_from,
    same_layout,
    scales_of,
    tf32_convolutions,
    update_of,
)
from torch import Tensor

from facegen.device import choose_device
from facegen.training.acceleration import warm_up
from facegen.training.cuda_graphs import capture, cuda_graphs
from facegen.training.figures import StepFigures
from facegen.training.networks import FEATURES
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.trainer import Trainer


def device(setting: Setting, _: str) -> Iterator[Part]:
    yield "device", partial(_device, setting)


def _device(setting: Setting) -> Result:
    told: Result = {
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "arch_list": torch.cuda.get_arch_list() if setting.has_cuda else None,
    }
    if setting.has_cuda:
        properties = torch.cuda.get_device_properties(setting.device)
        told["name"], told["capability"] = properties.name, [properties.major, properties.minor]
        told["memory_gib"] = properties.total_memory / 2**30
        told["driver"] = _driver()
    chosen = choose_device("auto")
    return {"ok": chosen == choose_device(setting.device.type), "auto": str(chosen), **told}


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


class Step:
    """A recipe's step with penalties, on the CPU in float32 and on the device in any precision."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting, self.name = setting, name
        batch = 4 if setting.tiny or name == "r3gan" else 16  # with 16, r3gan takes the CPU minutes
        recipe = setting.recipe(name, batch=batch, **STILL)
        if recipe.moments_weight:
            half_life = recipe.images_per_step / 1000
            recipe = recipe.with_overrides({"moments_weight": 0.02, "moments_half_life_kimg": half_life})
        self.recipe, self.number = recipe, recipe.penalty_every
        trainer = setting.trainer(recipe, torch.float32, CPU)
        trainer(self.number - 1)
        self.state = on_cpu(trainer.state_dict())
        self.reference = run_from(trainer, self.state, self.number)
        self.scales = _feature_scales(trainer)
        self._exact = cache(self._run_exactly)  # once each, however many precisions need it

    def _run_exactly(self, rounding: float) -> StepResult:
        """Run it on the device in float32, with weights that are changed at random by ``rounding``."""
        with tf32_convolutions(False):
            trainer = self.setting.trainer(self.recipe, torch.float32)
            load(trainer, self.state)
            disturb(trainer, rounding)
            return run_from(trainer, on_cpu(trainer.state_dict()), self.number)

    def part(self, label: str) -> Result:
        precision = PRECISIONS[label]
        with tf32_convolutions(precision.tf32):
            trainer = self.setting.trainer(self.recipe, precision.dtype)
            scales = _feature_scales(trainer)
            apart = difference(run_from(trainer, self.state, self.number), self.reference)
            alone = difference(self._exact(precision.rounding), self._exact(0.0))
        told: Result = apart.told(alone)
        ok = apart.is_within(alone, precision)
        if scales is not None and self.scales is not None:
            told["feature_scales"] = relative(scales, self.scales)
            ok = ok and told["feature_scales"] <= 10 * precision.rounding
        if precision.dtype == torch.float16:
            told["scales"] = scales_of(trainer)
        return {"ok": ok, **told}

    def update(self, label: str) -> Result:
        """Run a step with the recipe's rates."""
        precision = PRECISIONS[label]
        with tf32_convolutions(precision.tf32):
            trainer = self.setting.trainer(self.recipe, precision.dtype)
            load(trainer, self.state)
            return update_of(trainer, self.name, self.number)


def _feature_scales(trainer: Trainer) -> Tensor | None:
    critic = trainer.critics.get(FEATURES)
    return None if critic is None or critic.view is None else flat([critic.view.mixing.scales])


def step(setting: Setting, name: str) -> Iterator[Part]:
    of_recipe = Step(setting, name)
    for label in PRECISIONS:
        if label == "tf32" and not setting.has_cuda:
            yield f"step:{name} {label}", lambda: dict(NEEDS_CUDA)
            continue
        yield f"step:{name} {label}", partial(of_recipe.part, label)
        if label != "tf32":  # for Adam it is float32
            yield f"step:{name} {label} update", partial(of_recipe.update, label)


@contextmanager
def _tracer_alone(setting: Setting) -> Iterator[None]:
    """Return the compiler's tracer alone for a tiny setting, without compiling, which takes a minute."""
    if not setting.tiny:
        yield
        return
    with mock.patch.object(torch, "compile", partial(torch.compile, backend="aot_eager")):
        yield


def compiled(setting: Setting, name: str) -> Iterator[Part]:
    recipe = setting.recipe(name, **STILL)
    recipe = recipe.with_overrides({"batch": min(recipe.batch, 64)})
    own = setting.own_precision(recipe)
    for label in dict.fromkeys((own, "fp32") if name in FIRST else (own,)):
        trainers: list[Trainer] = []
        yield f"compiled:{name} {label}", partial(_compiled, setting, recipe, label, trainers)
        yield f"compiled:{name} {label} update", partial(_compiled_update, setting, name, label, trainers)


def _compiled_update(setting: Setting, name: str, label: str, trainers: Sequence[Trainer]) -> Result:
    """Check the update with the trainer that :func:`_compiled` has left."""
    assert trainers, "there is no compiled trainer"
    with tf32_convolutions(PRECISIONS[label].tf32), _tracer_alone(setting):
        return update_of(trainers[0], name, 4)


def _compiled(setting: Setting, recipe: Recipe, label: str, trainers: list[Trainer]) -> Result:
    from torch._dynamo.utils import counters

    precision, steps = PRECISIONS[label], 4
    counters.clear()
    torch._dynamo.reset()
    with tf32_convolutions(precision.tf32), _tracer_alone(setting):
        start = time.perf_counter()
        trainer = setting.trainer(recipe.with_overrides({"compile": True}), precision.dtype)
        warm_up(trainer, 0)
        seconds = time.perf_counter() - start
        trainers.append(trainer)
        found = {"graphs": counters["stats"]["unique_graphs"], "breaks": dict(counters["graph_break"])}

        ours, layouts = _steps(trainer, steps)
        theirs, _ = _steps(setting.trainer(recipe, precision.dtype), steps)
        disturbed = setting.trainer(recipe, precision.dtype)
        disturb(disturbed, precision.rounding)
        alone = difference(_steps(disturbed, steps)[0], theirs)
    apart = difference(ours, theirs)
    told = {"compile_seconds": seconds, "layouts_agree": layouts, **found}
    return {"ok": apart.is_within(alone, precision) and layouts, **told, **apart.told(alone)}


def _steps(trainer: Trainer, count: int) -> tuple[StepResult, bool]:
    """Return the first step's gradients, all steps' figures, and whether gradients lie in memory as parameters do."""
    whole: dict[str, float | None] = {}
    gradients: dict[str, Tensor] = {}
    layouts = True
    for number in range(count):
        trainer(number)
        if not number:
            gradients = {name: flat(gradients_of(network)) for name, network in networks_of(trainer).items()}
            for network in networks_of(trainer).values():
                pairs = zip(network.parameters(), gradients_of(network), strict=True)
                layouts = layouts and all(same_layout(gradient, parameter) for parameter, gradient in pairs)
        for name, figure in trainer.read_figures().items():
            whole[name if not number else f"{name} {number}"] = figure
    return StepResult(gradients, whole), layouts


def captured(setting: Setting, name: str) -> Iterator[Part]:
    recipe, own = _to_capture(setting, name)
    yield f"captured:{name}", partial(_captured, setting, recipe, own, first=0)
    if name in FIRST:
        yield f"captured:{name} from a checkpoint", partial(_captured, setting, recipe, own, first=5)
    if name == FIRST[0]:
        yield f"captured:{name} fp16", partial(_captured, setting, recipe, torch.float16, first=0)


def captured_compiled(setting: Setting, name: str) -> Iterator[Part]:
    recipe, own = _to_capture(setting, name)
    recipe = recipe.with_overrides({"compile": True})
    yield f"captured_compiled:{name}", partial(_captured, setting, recipe, own, first=0)


def _to_capture(setting: Setting, name: str) -> tuple[Recipe, torch.dtype]:
    """Return the recipe, with moments that are matched from the fourth step on, and its precision."""
    recipe = setting.recipe(name)
    recipe = recipe.with_overrides({"moments_half_life_kimg": 4 * recipe.images_per_step / 1000})
    return recipe, PRECISIONS[setting.own_precision(recipe)].dtype


def _captured(setting: Setting, recipe: Recipe, dtype: torch.dtype, *, first: int, steps: int = 8) -> Result:
    torch.backends.cudnn.benchmark = True
    torch._dynamo.reset()
    start: dict[str, Any] | None = None
    if first:
        earlier = setting.trainer(recipe, dtype)
        for number in range(first):
            earlier(number)
        start = on_cpu(earlier.state_dict())

    kinds = 0
    recorded = cuda_graphs() if setting.has_cuda else _run_again

    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        nonlocal kinds
        kinds += 1
        return recorded(run_step)

    def run(
        take_step: Callable[[int], StepFigures], trainer: Trainer
    ) -> tuple[dict[str, Tensor], list[dict[str, float | None]]]:
        figures = []
        for number in range(first, first + steps):
            take_step(number)
            figures.append(trainer.read_figures())
        return _weights(trainer), figures

    with _tracer_alone(setting):
        trainer = setting.trainer(recipe, dtype)
        if start is not None:
            trainer.load_state_dict(start)
        before = on_cpu(trainer.state_dict())
        origin = _weights(trainer)
        clock = time.perf_counter()
        replayed = capture(trainer, first, record)
        seconds = time.perf_counter() - clock
        changed = changed_parts(before, on_cpu(trainer.state_dict()))
        ours = run(replayed, trainer)

        torch._dynamo.reset()
        plain = setting.trainer(recipe, dtype)
        plain.load_state_dict(before)
        theirs = run(plain, plain)
        plain.load_state_dict(before)
        again = run(plain, plain)
    apart, noise = _apart(ours, theirs, origin), _apart(again, theirs, origin)
    expected = len({trainer.penalised(number) for number in range(recipe.penalty_every)})
    close = all(error <= max(0.05, MARGIN * noise[0][name]) for name, error in apart[0].items())
    return {
        "ok": close and apart[1] <= max(0.02, MARGIN * noise[1]) and not changed and kinds == expected,
        "graphs": kinds,
        "graphs_expected": expected,
        "changed_by_capture": changed,
        "capture_seconds": seconds,
        "weights": apart[0],
        "weights_when_run_again": noise[0],
        "figures": apart[1],
        "figures_when_run_again": noise[1],
        **({} if setting.has_cuda else {"stand_in": "run again"}),
    }


def _run_again(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
    """Record a step where there are no CUDA graphs, by running it again."""
    figures = run_step()

    def again() -> None:
        for name, figure in run_step().items():
            figures[name].copy_(figure)

    return figures, again


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    networks = {**networks_of(trainer), "ema": trainer.ema}
    return {name: flat(list(network.parameters())) for name, network in networks.items()}


def _apart(
    ours: tuple[dict[str, Tensor], list[dict[str, float | None]]],
    theirs: tuple[dict[str, Tensor], list[dict[str, float | None]]],
    origin: dict[str, Tensor],
) -> tuple[dict[str, float], float]:
    """Return how far weights are apart, relative to the way from ``origin``, and the largest difference of a figure."""
    weights = {name: relative(ours[0][name] - start, theirs[0][name] - start) for name, start in origin.items()}
    pairs = zip(ours[1], theirs[1], strict=True)
    return weights, max(figure_error(name, our[name], value) for our, their in pairs for name, value in their.items())


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the parts of a trainer that changed by a bit. Adam tensors that are new are compared with zeros."""
    changed = []
    for name, part in after.items():
        if name.startswith("optimizer"):
            old = before[name]["state"]
            pairs = [
                (tensor, old[index][key] if index in old else torch.zeros_like(tensor))
                for index, state in part["state"].items()
                for key, tensor in state.items()
            ]
        elif name.startswith("scaler"):
            pairs = [(torch.tensor(value), torch.tensor(before[name][key])) for key, value in part.items()]
        else:
            pairs = [(tensor, before[name][key]) for key, tensor in part.items()]
        if not all(torch.equal(new, then) for new, then in pairs):
            changed.append(name)
    return changed


def memory(setting: Setting, name: str) -> Iterator[Part]:
    shipped = load_recipe(name)
    for form in ("eager", "captured", "compiled", "compiled and captured"):
        if shipped.compile != form.startswith("compiled"):
            continue
        part = partial(_memory, setting, name, form) if setting.has_cuda else lambda: dict(NEEDS_CUDA)
        yield f"memory:{name} {form}", part


def _memory(setting: Setting, name: str, form: str, steps: int = 50) -> Result:
    torch.backends.cudnn.benchmark = True
    recipe = setting.recipe(name, compile=form.startswith("compiled"))
    kinds = recipe.penalty_every
    trainer = setting.trainer(recipe, PRECISIONS[setting.own_precision(recipe)].dtype)
    take_step: Callable[[int], StepFigures] = capture(trainer, 0) if form.endswith("captured") else trainer
    warm_up = 5 * kinds
    allocated = []
    for number in range(warm_up + steps):
        take_step(number)
        if number >= warm_up:
            allocated.append(torch.cuda.memory_allocated(setting.device))
        if number % 10 == 9:
            trainer.read_figures()
    growth = max(max(allocated[kind::kinds]) - min(allocated[kind::kinds]) for kind in range(kinds))
    return {
        "ok": growth <= MIB,
        "growth_mib": growth / MIB,
        "allocated_mib": allocated[-1] / MIB,
        "peak_mib": torch.cuda.max_memory_allocated(setting.device) / MIB,
        "reserved_mib": torch.cuda.memory_reserved(setting.device) / MIB,
    }


def no_sync(setting: Setting, name: str) -> Iterator[Part]:
    if not setting.has_cuda:
        yield f"no_sync:{name}", lambda: dict(NEEDS_CUDA)
        return
    own = PRECISIONS[setting.own_precision(load_recipe(name))].dtype
    yield f"no_sync:{name}", partial(_no_sync, setting, name, own)
    if name == FIRST[0]:
        yield f"no_sync:{name} fp16", partial(_no_sync, setting, name, torch.float16)


def _no_sync(setting: Setting, name: str, dtype: torch.dtype) -> Result:
    torch.backends.cudnn.benchmark = True
    recipe = setting.recipe(name)
    trainer = setting.trainer(recipe, dtype)
    warm_up, steps = 2 * recipe.penalty_every, 20
    for number in range(warm_up):
        trainer(number)
    trainer.read_figures()
    for number in range(warm_up, warm_up + steps):
        torch.cuda.set_sync_debug_mode("error")
        try:
            trainer.load_inputs(number)
            trainer.run_step(trainer.penalised(number))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        trainer.finish_step(number)
    return {"ok": True, "steps": steps}
