"""Training steps as CUDA graphs: recorded once, then replayed whole.

A step of a small GAN consists of hundreds of kernels. A GPU runs them faster than a host launches them: a DCGAN step at
batches of 128 has about 220 kernels, and the GPU is idle for 40% of the time. A graph launches all of them at once (see
"CUDA Graphs" in PyTorch's notes on CUDA).
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

#: A function that records what another function does on the device. It returns the result's tensors, and a function
#: that repeats the work on the same input tensors and into the same result tensors.
Recorder = Callable[[Callable[[], StepFigures]], tuple[StepFigures, Callable[[], None]]]

#: Number of times each kind of step runs before it is recorded. In the first, torch makes buffers and cuDNN chooses its
#: algorithms.
WARM_UPS = 3
#: Maximum difference between a figure of the replayed step and of the plain one, relative or absolute. They differ by
#: rounding, because a GPU adds numbers in no fixed order.
TOLERANCE = 0.1
#: Minimum cosine between the weight changes of the replayed step and of the plain one. Rounding changes the sign of
#: some small gradients.
SAME_WAY = 0.5


class Effect(NamedTuple):
    """The effect of one step: its figures, and the change of each network's weights as a flat tensor."""

    figures: dict[str, float]
    changes: dict[str, Tensor]


class CaptureFailed(Exception):
    """A trainer's steps cannot be captured. The message says why."""


def obstacle_to_capture(trainer: Trainer, world: int) -> str | None:
    """Return the reason why a trainer's steps cannot be captured, as a clause; None if there is no known reason."""
    if trainer.device.type != "cuda":
        return "there is no CUDA device"
    if world > 1:
        return "several ranks exchange messages within a step"
    if isinstance(trainer.recipe.beta2, tuple):
        return "beta2 changes from step to step, and a captured Adam keeps the value that it had"
    return None


def cuda_graphs() -> Recorder:
    """Return a recorder of CUDA graphs.

    All of its graphs share the memory of their intermediate tensors, which is safe because no two of them run at once.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(run_step: Callable[[], StepFigures]) -> tuple[StepFigures, Callable[[], None]]:
        graph = torch.cuda.CUDAGraph()
        # If a recording fails, torch leaves its own stream as the current one. The outer block restores the stream.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, pool=pool):
            figures = run_step()
        return figures, graph.replay

    return record


def capture(trainer: Trainer, first: int, record: Recorder | None = None) -> Callable[[int], StepFigures]:
    """Return a function that runs the steps of ``trainer`` from number ``first`` on, as replays.

    The function takes a step's number and returns its figures. There is one graph for each kind of step (see
    :meth:`Trainer.penalised`). The trainer first runs some steps of each kind as warm-up, each from its present
    state. Then each kind is recorded, and the same steps are replayed from the same state. A replay must yield the
    figures of the plain step and change the weights in the same way. The steps are compared one at a time, because
    rounding grows from step to
    step: at the start of a GAN's training, by half a loss within five steps.

    After the capture, run steps only through the returned function. The graphs do not notice a state that is loaded
    into the trainer.

    Args:
        trainer: The trainer to capture.
        first: Number of the first step.
        record: Records a step; by default as a CUDA graph.

    Raises:
        CaptureFailed: A replay does not do what the plain step does.
        RuntimeError: torch finds something in a step that it cannot record.
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
    """Run the block on a CUDA stream of its own, as torch requires of a warm-up before a capture."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _effect(trainer: Trainer, number: int, run_step: Callable[[int], StepFigures]) -> Effect:
    """Return the effect of step ``number`` on the trainer in its present state, which is restored afterwards."""
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
            continue  # The learning rate is 0, or float16 skipped the step.
        if not torch.nn.functional.cosine_similarity(ours, change, dim=0) > SAME_WAY:
            raise CaptureFailed(f"step {number} of the replay changes the weights of the {name} in another direction")


def _numbers(figures: StepFigures) -> dict[str, float]:
    whole: Tensor = torch.stack([figure.float() for figure in figures.values()])
    return dict(zip(figures, whole.tolist(), strict=True))


def _agree(then: float, now: float) -> bool:
    if not math.isfinite(then):  # The first loss scales of float16 can be too large for the penalties.
        return not math.isfinite(now)
    return math.isclose(then, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
