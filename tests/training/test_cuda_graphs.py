"""Captured steps against plain ones, with recorded operations in place of CUDA graphs.

The operations that torch is given are recorded, with the very tensors and numbers they were given, and repeated:
as a CUDA graph does, it takes every number for a constant and finds new values only where the old ones lay.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch.autograd.graph import get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegen.training.cuda_graphs import CaptureFailed, capture, obstacle_to_capture
from facegen.training.figures import StepFigures
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")
#: The fixture: the trainer of a recipe, of float32 unless another precision is said.
TrainerOf = Callable[..., Trainer]
#: What a CUDA graph cannot record: a value read on the host, and a tensor made from numbers there.
ON_HOST = {"aten::_local_scalar_dense", "aten::lift_fresh"}

PENALISED = {
    "discriminator_norm": "none",
    "loss": "relativistic",
    "r1_gamma": [2.0, 0.2],
    "r2_gamma": [2.0, 0.2],
    "generator_lr": [1e-3, 1e-5],
    "discriminator_lr": [1e-3, 1e-5],
    "schedule": "linear",
    "schedule_kimg": 0.05,
    "ema_half_life_kimg": [0.001, 1.0],
    "penalty_every": 3,
}
FEATURES = {
    "features": "efficientnet_lite0",
    "features_size": 32,
    "features_width": 2,
    "moments_weight": [1.0, 0.1],
    "moments_half_life_kimg": 0.016,
    "augment": "color,translation",
    "augment_probability": [0.1, 0.9],
}
RECIPES: dict[str, dict[str, Any]] = {
    "published": {},
    "seldom penalties": PENALISED,
    "several updates of D": {**PENALISED, "d_steps": 2, "mirror": False},
    "features and moments": {**PENALISED, **FEATURES},
    "controlled augmentation": {"augment": "flip", "augment_probability": 0.5, "ada_target": 0.6, "ada_kimg": 0.08},
}


class OperationRecorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert operation._schema.name not in ON_HOST, f"{operation} cannot be captured"
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def repeat(self) -> None:
        for operation, args, kwargs, result in self.operations:
            for then, now in zip(tree_leaves(result), tree_leaves(operation(*args, **kwargs)), strict=True):
                if isinstance(then, torch.Tensor) and then.data_ptr() != now.data_ptr():
                    then.copy_(now)


def record_operations(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
    with OperationRecorder() as recorded:
        figures = run_step()
    return figures, recorded.repeat


@pytest.mark.parametrize("changes", RECIPES.values(), ids=list(RECIPES))
def test_replayed_steps_are_the_plain_ones_to_the_bit(
    changes: dict[str, Any], tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    """Schedules move, penalties come and go, and batches differ: whatever was recorded as a constant would show."""
    recipe = tiny_recipe.with_overrides(changes)
    plain, captured = trainer_of(recipe), trainer_of(recipe)
    step = capture(captured, 0, record_operations)
    for number in range(7):
        theirs, ours = plain(number), step(number)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(captured.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert captured.read_figures() == plain.read_figures()


@pytest.mark.parametrize("changes", RECIPES.values(), ids=list(RECIPES))
def test_nothing_keeps_a_parameters_node_of_autograd(
    changes: dict[str, Any], tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    """Where a step is recorded each parameter's node is made anew, and so on the stream that is captured.

    torch makes the node when something is computed with a gradient, on the stream of then, and keeps it as long as
    that. One of before makes the legacy stream wait for the captured one, at which CUDA breaks the capture off.
    """
    trainer = trainer_of(tiny_recipe.with_overrides(changes))
    networks = [trainer.generator, *(critic.head for critic in trainer.critics.values())]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    kept = []

    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        for parameter in parameters:
            get_gradient_edge(parameter).node.metadata["made before"] = True  # lasts as long as the node
        kept.append(sum("made before" in get_gradient_edge(parameter).node.metadata for parameter in parameters))
        return run_step(), lambda: None

    with suppress(CaptureFailed):  # it replays nothing
        capture(trainer, 0, record)
    assert kept and not any(kept)


def test_a_run_that_goes_on_is_captured_where_it_stands(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    recipe = tiny_recipe.with_overrides(PENALISED)
    plain = trainer_of(recipe)
    for number in range(4):
        plain(number)
    captured = trainer_of(recipe)
    captured.load_state_dict(plain.state_dict())
    step = capture(captured, 4, record_operations)
    for number in range(4, 8):
        plain(number), step(number)
    torch.testing.assert_close(captured.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_float16s_scale_moves_within_the_graph(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """Its first steps overflow in the penalties: they are skipped, and the scale is halved."""
    recipe = tiny_recipe.with_overrides({**PENALISED, "penalty_every": 1})
    plain, captured = (trainer_of(recipe, torch.float16) for _ in "12")
    step = capture(captured, 0, record_operations)
    for number in range(4):
        plain(number), step(number)
    ours, theirs = captured.state_dict(), plain.state_dict()
    assert ours["scaler_d"]["scale"] == theirs["scaler_d"]["scale"] < 65536
    torch.testing.assert_close(ours["discriminator"], theirs["discriminator"], rtol=0, atol=0)


def again(run_step: Callable[[], StepFigures], figures: StepFigures) -> None:
    for name, figure in run_step().items():
        figures[name].copy_(figure)


def test_a_replay_with_other_figures_is_refused(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        figures = {name: figure.clone() for name, figure in run_step().items()}

        def replay() -> None:
            again(run_step, figures)
            figures["loss_d"] += 0.5

        return figures, replay

    with pytest.raises(CaptureFailed, match=r"step \d of the replay has a loss_d of .*, not "):
        capture(trainer_of(tiny_recipe), 0, record)


def test_a_replay_that_does_nothing_is_refused(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """A graph that was recorded on other tensors would repeat its first step forever."""

    def stuck(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        return {name: figure.clone() for name, figure in run_step().items()}, lambda: None

    trainer = trainer_of(tiny_recipe)
    before = trainer.state_dict()
    with pytest.raises(CaptureFailed, match=r"step \d of the replay (has a|changes the weights)"):
        capture(trainer, 0, stuck)
    torch.testing.assert_close(trainer.state_dict()["generator"], before["generator"], rtol=0, atol=0)


def test_rounding_that_grows_from_step_to_step_is_no_failure(tiny_recipe: Recipe, trainer_of: TrainerOf) -> None:
    """A step that changes the weights by much makes the next one's figures another's: each is tried by itself."""

    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        figures = run_step()

        def replay() -> None:
            again(run_step, figures)
            with torch.no_grad():
                for parameter in trainer.critics["discriminator"].head.parameters():
                    parameter += 0.9 * rate * torch.randn(parameter.shape, generator=noise)

        return figures, replay

    rate, noise = 0.1, torch.Generator().manual_seed(0)
    recipe = tiny_recipe.with_overrides({**PENALISED, "discriminator_lr": rate})
    trainer, plain = trainer_of(recipe), trainer_of(recipe)
    step = capture(trainer, 0, record)
    ours, theirs = ([float(run(number)["loss_d"]) for number in range(2)] for run in (step, plain))
    assert ours[0] == pytest.approx(theirs[0], rel=0.1)
    assert ours[1] != pytest.approx(theirs[1], rel=0.2)  # they part


@pytest.mark.parametrize(
    ("device", "changes", "world", "words"),
    [
        ("cpu", {}, 1, "no CUDA device"),
        ("cuda", {}, 2, "several ranks"),
        ("cuda", {"beta2": [0.9, 0.99], "schedule_kimg": 1.0}, 1, "beta2 changes"),
        ("cuda", {}, 1, None),
    ],
)
def test_where_it_is_safe(
    device: str, changes: dict[str, Any], world: int, words: str | None, tiny_recipe: Recipe, trainer_of: TrainerOf
) -> None:
    trainer = trainer_of(tiny_recipe.with_overrides(changes))
    trainer.device = torch.device(device)
    reason = obstacle_to_capture(trainer, world)
    assert reason is None if words is None else words in str(reason)
