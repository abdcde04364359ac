"""Training steps as CUDA graphs: recorded once, then replayed whole.

A step of a small GAN is hundreds of kernels that a GPU runs quicker than a host launches them: DCGAN's at batches of
128 has some 220, and the GPU is idle for 40% of the time. A graph launches them at once (PyTorch's notes on CUDA,
"CUDA Graphs").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from facegen.training.figures import StepFigures
from facegen.training.trainer import Trainer

#: Records what a function does on the device: its result's tensors, and what does it all again, on the same tensors,
#: into the same result.
Recorder = Callable[[Callable[[], StepFigures]], tuple[StepFigures, Callable[[], None]]]

#: How often each kind of step is run before it is recorded: torch makes buffers in the first, and cuDNN its choices.
WARM_UPS = 3
#: How far a replayed step's figures may be from the plain step's: rounding, since a GPU adds up in any order.
TOLERANCE = 0.1
#: The least cosine between what both change the weights by. Where gradients are small, rounding turns some around.
SAME_WAY = 0.5


class Effect(NamedTuple):
    """What one step did: its figures, and by how much it changed each network's weights, flat."""

    figures: dict[str, float]
    changes: dict[str, Tensor]


class CaptureFailed(Exception):
    """Why a trainer's steps cannot be captured, in words."""


def obstacle_to_capture(trainer: Trainer, world: int) -> str | None:
    """What stands in the way of capturing a trainer's steps, as a clause; None where nothing is known to."""
    if trainer.device.type != "cuda":
        return "there is no CUDA device"
    if world > 1:
        return "several ranks exchange messages within a step"
    if isinstance(trainer.recipe.beta2, tuple):
        return "beta2 changes from step to step, and Adam takes it as a number"
    return None


def cuda_graphs() -> Recorder:
    """Records CUDA graphs, which share the memory of what is made on the way: no two of them run at once."""
    pool = torch.cuda.graph_pool_handle()

    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        graph = torch.cuda.CUDAGraph()
        # Where a recording fails torch leaves its stream the current one, which the outer block mends.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, pool=pool):
            figures = run_step()
        return figures, graph.replay

    return record


def capture(trainer: Trainer, first: int, record: Recorder | None = None) -> Callable[[int], StepFigures]:
    """The steps of ``trainer``, from number ``first`` on, as replays: takes a step's number, gives its figures.

    There is one graph for each kind of step (:meth:`Trainer.penalised`). The trainer runs some steps of each kind to
    warm up, each from the state that it is in; the kinds are recorded; and the same steps are replayed, each from that
    state again. A replay must have the plain step's figures and change the weights as it did. One step at a time,
    because rounding grows from step to step, at the start of a GAN's training by half a loss in five.

    A trainer that was captured must not run steps otherwise, and loading a state into it is not seen by the graphs.

    Raises:
        CaptureFailed: replayed, it does not do what it did.
        RuntimeError: whatever torch finds in a step that it cannot record.
    """
    record = record or cuda_graphs()
    numbers: dict[tuple[bool, ...], list[int]] = {}
    for number in range(first, first + WARM_UPS * trainer.recipe.penalty_every):
        numbers.setdefault(trainer.penalised(number), []).append(number)
    tried = sorted(number for of_kind in numbers.values() for number in of_kind[:WARM_UPS])
    with _side_stream(trainer.device):
        expected = [_effect(trainer, number, trainer) for number in tried]
    graphs: dict[tuple[bool, ...], tuple[StepFigures, Callable[[], None]]] = {}
    for kind in sorted(numbers):
        with trainer.trial_run():
            graphs[kind] = record(partial(trainer.run_step, kind))

    def replayed(step: int) -> StepFigures:
        figures, replay = graphs[trainer.penalised(step)]
        trainer.load_inputs(step)
        replay()
        trainer.finish_step(step)
        return figures

    for number, plain in zip(tried, expected, strict=True):
        _require_same(number, plain, _effect(trainer, number, replayed))
    return replayed


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """On a stream of its own, as torch asks of what warms up for a capture."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _effect(trainer: Trainer, number: int, run_step: Callable[[int], StepFigures]) -> Effect:
    """What step ``number`` does to the trainer as it is, whose state is restored afterwards."""
    networks = {"generator": trainer.generator, "average": trainer.ema}
    networks |= {name: critic.head for name, critic in trainer.critics.items()}

    def weights() -> dict[str, Tensor]:
        with torch.no_grad():
            return {
                name: torch.cat([parameter.flatten() for parameter in network.parameters()])
                for name, network in networks.items()
            }

    with trainer.trial_run():
        before = weights()
        figures = _numbers(run_step(number))
        return Effect(figures, {name: after - before[name] for name, after in weights().items()})


def _require_same(number: int, plain: Effect, replayed: Effect) -> None:
    for name, value in plain.figures.items():
        if not _agree(value, replayed.figures[name]):
            raise CaptureFailed(
                f"step {number} of the replay has a {name} of {replayed.figures[name]:.4g}, not {value:.4g}"
            )
    for name, change in plain.changes.items():
        ours = replayed.changes[name]
        if not change.any() and not ours.any():
            continue  # a rate of 0, or float16 skipped the step
        if not torch.nn.functional.cosine_similarity(ours, change, dim=0) > SAME_WAY:
            raise CaptureFailed(f"step {number} of the replay changes the weights of the {name} otherwise")


def _numbers(figures: StepFigures) -> dict[str, float]:
    whole: Tensor = torch.stack([figure.float() for figure in figures.values()])
    return dict(zip(figures, whole.tolist(), strict=True))


def _agree(then: float, now: float) -> bool:
    if not math.isfinite(then):  # float16's first scales may be too large for the penalties
        return not math.isfinite(now)
    return math.isclose(then, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
