"""Compare a training step on a GPU with the CPU's, and say how far they may be apart.

Gradients. Rounding moves activations across the kinks of ReLU. A relative error e of the arithmetic therefore becomes
about √e in gradients, depending on the network: 0.15 for DCGAN's generator in bfloat16 at its first step, 0.01 for
R3GAN's. So the limit is measured on the spot: the same step runs on the device in exact float32, with each weight
changed at random by what the precision rounds off (1e-6; 3e-4 for the ten bits of TF32 and float16; 2e-3 for
bfloat16's seven). On a CPU, bfloat16 and float16 differ by 1 to 1.6 times that. An error may be three times as large,
or as large as the precision's base if that is more: 1e-3 in fp32, 5e-2 in tf32 and fp16, 0.15 in bf16. For figures the
bases are 1e-4, 2e-3, 1e-2 and 2e-2. Rounding has no direction, so the part of an error along the gradient (a factor
that is too large or too small) may be a third of it.

Repeated steps differ, because a GPU adds up in any order. Captured steps may differ from plain ones by three times the
difference of plain ones that are run again, or by 5% of the way that the weights went and 2% of figures.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from facegen.data.dataset import FaceDataset
from facegen.device import choose_precision
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
#: Recipes whose items come first, because there may be no time for the others.
FIRST = ("dcgan", "best")
TINY = {"generator_width": 4, "discriminator_width": 4, "features_size": 32, "features_width": 2, "latent_dim": 8}
#: Training images that trainers draw from. They are few, so that they are on the device soon.
ROWS = 2048
#: How often a step is repeated because float16 overflowed in it and halved its scale.
TRIES = 20
#: Figures below it are compared as if they were equal to it, except penalties, which start small.
FLOOR = 0.01
#: How far an update may be from Adam's. float32 rounds weights near 1 by some ten-thousandths of an update.
UPDATE = 1e-3
RATES = ("generator_lr", "discriminator_lr")
#: Recipe changes for a trainer whose weights do not move.
STILL = dict.fromkeys(RATES, 0.0)
#: Largest error, as a multiple of the difference that rounding alone makes.
MARGIN = 3.0
MIB = 1 << 20
#: How much of a failed process's last output is reported.
LAST_LINES, LAST_CHARACTERS = 12, 1500
Result = dict[str, Any]
#: A part of an item: the name of its line, and a function that finds ``ok`` and the figures.
Part = tuple[str, Callable[[], Result]]
NEEDS_CUDA: Result = {"ok": None, "needs": "cuda"}


class Precision(NamedTuple):
    """An arithmetic, its rounding, and the base by which gradients and figures may always differ from the CPU's."""

    dtype: torch.dtype
    tf32: bool
    rounding: float
    gradients: float
    figures: float


PRECISIONS = {
    "fp32": Precision(torch.float32, False, 1e-6, 1e-3, 1e-4),
    "tf32": Precision(torch.float32, True, 3e-4, 5e-2, 2e-3),
    "bf16": Precision(torch.bfloat16, True, 2e-3, 0.15, 2e-2),
    "fp16": Precision(torch.float16, True, 3e-4, 5e-2, 1e-2),
}


@dataclass(frozen=True)
class Setting:
    """Where the checks run, and whether they are tiny."""

    dataset: Path
    device: torch.device
    tiny: bool

    @property
    def has_cuda(self) -> bool:
        return self.device.type == "cuda"

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """Return the shipped recipe, tiny in a tiny setting. Only ``changes`` can have it compiled or captured."""
        recipe = load_recipe(name)
        small = {**TINY, "batch": 4, "penalty_every": min(recipe.penalty_every, 2)} if self.tiny else {}
        return recipe.with_overrides({"compile": False, "cuda_graphs": False, **small, **changes})

    def trainer(self, recipe: Recipe, dtype: torch.dtype, device: torch.device | None = None) -> Trainer:
        device = self.device if device is None else device
        faces = FaceDataset.open(self.dataset)
        return Trainer(recipe, self.real_images(recipe.batch, device), faces.size, device, dtype, Ranks())

    def real_images(self, batch: int, device: torch.device) -> RealImages:
        faces = FaceDataset.open(self.dataset)
        rows = faces.training_rows()[:ROWS]
        return RealImages(faces.images, rows, batch=batch, seed=0, device=device, ranks=Ranks())

    def own_precision(self, recipe: Recipe) -> str:
        """Return the precision that training takes for the recipe here, as a key of ``PRECISIONS``."""
        dtype = choose_precision(recipe.precision, self.device, double_backward=recipe.is_penalised)
        return {torch.float32: "tf32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]


@contextmanager
def tf32_convolutions(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


# Comparisons.


class StepResult(NamedTuple):
    """The result of a step: figures, and gradients by network, flat and in float64 on the CPU."""

    gradients: dict[str, Tensor]
    figures: dict[str, float | None]


class Difference(NamedTuple):
    """The relative difference of two steps: of gradients, of their part along the second's, and of figures."""

    gradients: dict[str, float]
    along: dict[str, float]
    figures: dict[str, float]

    def is_within(self, alone: Difference, precision: Precision) -> bool:
        """Return whether it is within ``alone``, the difference that rounding alone makes, or the precision's base."""
        gradients = all(
            error <= max(precision.gradients, MARGIN * alone.gradients[name])
            and abs(self.along[name]) <= max(precision.gradients / MARGIN, alone.gradients[name])
            for name, error in self.gradients.items()
        )
        return gradients and all(
            error <= max(precision.figures, MARGIN * alone.figures[name]) for name, error in self.figures.items()
        )

    def told(self, alone: Difference) -> Result:
        worst = max(self.figures, key=lambda name: _or_infinity(self.figures[name]))
        return {
            "gradients": self.gradients,
            "along": self.along,
            "rounding_alone": alone.gradients,
            "worst_figure": {worst: self.figures[worst]},
        }


def _or_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value


def difference(ours: StepResult, theirs: StepResult) -> Difference:
    return Difference(
        {name: relative(ours.gradients[name], gradient) for name, gradient in theirs.gradients.items()},
        {name: along(ours.gradients[name], gradient) for name, gradient in theirs.gradients.items()},
        {name: figure_error(name, ours.figures[name], figure) for name, figure in theirs.figures.items()},
    )


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Return ‖ours − theirs‖ / ‖theirs‖; 0 if both are zero."""
    away, size = (ours - theirs).norm().item(), theirs.norm().item()
    return away / size if size else (math.inf if away else 0.0)


def along(ours: Tensor, theirs: Tensor) -> float:
    """Return the factor of ``theirs`` in ``ours``, less 1."""
    square = theirs.square().sum().item()
    return (ours * theirs).sum().item() / square - 1 if square else 0.0


def figure_error(name: str, ours: float | None, theirs: float | None) -> float:
    """Return the difference of two figures, relative to the second or to ``FLOOR``; infinite if one is missing."""
    if ours == theirs:
        return 0.0
    if ours is None or theirs is None:
        return math.inf
    size = abs(theirs) if name.startswith("penalty") else max(abs(theirs), FLOOR)
    return abs(ours - theirs) / size if size else math.inf


def adam(
    weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], lr: float, betas: tuple[float, float], eps: float
) -> Tensor:
    """Return the weight after Adam's next step, in float64 (Kingma and Ba, arXiv:1412.6980, algorithm 1)."""
    beta1, beta2 = betas
    step = state["step"].item() + 1
    gradient = gradient.double()
    first = beta1 * state["exp_avg"].double() + (1 - beta1) * gradient
    second = beta2 * state["exp_avg_sq"].double() + (1 - beta2) * gradient.square()
    first, second = first / (1 - beta1**step), second / (1 - beta2**step)
    return weight.double() - lr * first / (second.sqrt() + eps)


def same_layout(ours: Tensor, theirs: Tensor) -> bool:
    """Return whether memory is walked through in the same order. Strides along single entries do not matter."""
    strides = zip(ours.shape, ours.stride(), theirs.stride(), strict=True)
    return ours.shape == theirs.shape and all(size == 1 or one == other for size, one, other in strides)


# Parts of a trainer.


def networks_of(trainer: Trainer) -> dict[str, nn.Module]:
    return {"generator": trainer.generator, **{name: critic.head for name, critic in trainer.critics.items()}}


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return all entries of tensors of any device and layout as float64 on the CPU."""
    return torch.cat([tensor.detach().cpu().double().reshape(-1) for tensor in tensors])


def gradients_of(network: nn.Module) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(gradients) == len(list(network.parameters())), "a parameter has no gradient"
    return gradients


def step_result(trainer: Trainer) -> StepResult:
    return StepResult(
        {name: flat(gradients_of(net)) for name, net in networks_of(trainer).items()}, trainer.read_figures()
    )


def on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a trainer's state into main memory, as a checkpoint restores it."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    buffer.seek(0)
    copied: dict[str, Any] = torch.load(buffer, map_location="cpu", weights_only=True)
    return copied


def load(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Restore ``state``, which may be of another precision: float16's scales stay the trainer's own."""
    own = trainer.state_dict()
    trainer.load_state_dict({**state, **{name: own[name] for name in ("scaler_g", "scaler_d")}})


def scales_of(trainer: Trainer) -> tuple[float, float]:
    """Return float16's scales of the generator's and discriminator's losses; 1 in other precisions."""
    state = trainer.state_dict()
    of_g, of_d = (float(state[name].get("scale", 1.0)) for name in ("scaler_g", "scaler_d"))
    return of_g, of_d


def is_taken(trainer: Trainer, step: int) -> bool:
    """Run a step, and return whether it changed the weights. If float16 overflows, it halves a scale instead."""
    before = scales_of(trainer)
    trainer(step)
    return all(now >= then for now, then in zip(scales_of(trainer), before, strict=True))


def run_from(trainer: Trainer, state: Mapping[str, Any], step: int) -> StepResult:
    """Run a step from ``state``. Fused Adam leaves float16's gradients unscaled."""
    for _ in range(TRIES):
        load(trainer, state)
        trainer.read_figures()  # discard those of earlier steps
        if is_taken(trainer, step):
            return step_result(trainer)
    raise RuntimeError(f"float16 overflows in each of {TRIES} tries, down to scales of {scales_of(trainer)}")


def disturb(trainer: Trainer, rounding: float) -> None:
    """Change each weight at random by a relative ``rounding``."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for network in networks_of(trainer).values():
            for parameter in network.parameters():
                factor = 1 + rounding * torch.randn(parameter.shape, generator=draw)
                parameter.mul_(factor.to(parameter.device))


def update_of(trainer: Trainer, name: str, step: int) -> Result:
    """Run a step with the rates of the recipe ``name``, and compare each side's update with Adam's."""
    shipped = load_recipe(name)
    recipe = trainer.recipe.with_overrides({rate: getattr(shipped, rate) for rate in RATES})
    trainer.follow(recipe)
    for _ in range(TRIES):
        before = on_cpu(trainer.state_dict())
        if is_taken(trainer, step):
            break
    else:
        raise RuntimeError(f"float16 overflows in each of {TRIES} tries, down to scales of {scales_of(trainer)}")
    after = on_cpu(trainer.state_dict())
    shown = step * recipe.images_per_step
    networks = networks_of(trainer)
    generator = networks.pop("generator")
    sides: list[tuple[str, dict[str, nn.Module]]] = [("generator", {"generator": generator})]
    if recipe.d_steps == 1:  # otherwise only the last discriminator gradients are left, and they do not fit its weights
        sides.append(("discriminator", networks))
    errors = {}
    for side, of_side in sides:
        optimizer = before[f"optimizer_{side[0]}"]
        lr, betas = recipe.at(f"{side}_lr", shown), (recipe.beta1, recipe.at("beta2", shown))
        gradients = chain.from_iterable(gradients_of(network) for network in of_side.values())
        names = [(name, key) for name, network in of_side.items() for key, _ in network.named_parameters()]
        olds, news, expected = [], [], []
        for index, ((name, key), gradient) in enumerate(zip(names, gradients, strict=True)):
            olds.append(before[name][key])
            news.append(after[name][key])
            state = optimizer["state"][index]
            expected.append(adam(olds[-1], gradient.cpu(), state, lr, betas, optimizer["param_groups"][0]["eps"]))
        start = flat(olds)
        errors[side] = relative(flat(news) - start, flat(expected) - start)
    return {"ok": all(error <= UPDATE for error in errors.values()), "updates": errors}


def last_lines(text: str) -> str:
    """Return the end of a process's output, without progress and blank lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:])[-LAST_CHARACTERS:]
