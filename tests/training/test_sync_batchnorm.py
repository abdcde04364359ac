"""Two ranks with half a batch each against one process with torch's BatchNorm and the whole of it.

This file is also the program that a rank runs: ``python test_sync_batchnorm.py RANK FOLDER``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from facegen.training.distributed import Ranks
from facegen.training.sync_batchnorm import SyncBatchNorm, convert_batch_norm

WORLD, STEPS = 2, 3


def network() -> nn.Module:
    """BatchNorm of maps and of vectors, with and without affine parameters, running statistics and momentum."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.SiLU(),
        nn.Conv2d(6, 4, 3),
        nn.BatchNorm2d(4, affine=False),
        nn.SiLU(),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 2, 5), nn.BatchNorm1d(5, momentum=None)),
        nn.SiLU(),
        nn.BatchNorm1d(5, track_running_stats=False),
    ).double()
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    return layers


def whole_batch(step: int) -> Tensor:
    """Rank 1's images are lighter and of more contrast: the halves' statistics differ from the whole's."""
    images = torch.randn(8, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    images[4:] = images[4:] * 3 + 5
    return images.contiguous(memory_format=torch.channels_last)


def run(layers: nn.Module, ranks: Ranks) -> dict[str, Any]:
    """A few steps without an optimizer, as one of ``ranks``: what came out of each."""
    steps = []
    for step in range(STEPS):
        images = ranks.shard(whole_batch(step)).requires_grad_()
        layers.zero_grad(set_to_none=True)
        outputs = layers(images)
        outputs.sin().mean().backward()
        gradients = {name: parameter.grad for name, parameter in layers.named_parameters()}
        ranks.average(gradients.values())
        steps.append({"outputs": outputs.detach(), "at images": images.grad, "gradients": gradients})
    buffers = {name: buffer.clone() for name, buffer in layers.named_buffers()}
    layers.eval()
    return {"steps": steps, "buffers": buffers, "evaluated": layers(whole_batch(0)).detach()}


def far_from_zero() -> Tensor:
    """float32 whose mean is 3,000 standard deviations: E[x²] − E[x]² would be rounding alone."""
    return whole_batch(0).float() / 10 + 1000


def run_rank(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    ranks = Ranks(rank, WORLD)
    results = run(convert_batch_norm(network()), ranks)
    for name, images in {"far": far_from_zero(), "bfloat16": whole_batch(0).bfloat16()}.items():
        normalised = SyncBatchNorm(3)(ranks.shard(images)).detach()
        assert normalised.is_contiguous(memory_format=torch.channels_last)
        results[name] = normalised
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], env=environment) for rank in range(WORLD)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0] * WORLD
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return run(network(), Ranks())


def joined(both: list[dict[str, Any]], name: str) -> list[Tensor]:
    """Both ranks' halves of each step's batch, put together."""
    return [
        torch.cat([first[name], second[name]]) for first, second in zip(*(rank["steps"] for rank in both), strict=True)
    ]


def assert_near(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_outputs_are_those_of_the_whole_batch(both: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    assert_near(joined(both, "outputs"), [step["outputs"] for step in whole["steps"]])


def test_input_gradients_are_those_of_all_ranks_losses(both: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    """The sum of the ranks' losses, each the mean of its half, is twice the mean over the whole."""
    assert_near(joined(both, "at images"), [2 * step["at images"] for step in whole["steps"]])


def test_averaged_gradients_are_those_of_the_whole_batch(both: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    for rank in both:
        assert_near([step["gradients"] for step in rank["steps"]], [step["gradients"] for step in whole["steps"]])


def test_running_statistics_are_those_of_the_whole_batch(both: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    assert_near(both[0]["buffers"], whole["buffers"])
    torch.testing.assert_close(both[0]["buffers"], both[1]["buffers"], rtol=0, atol=0)


def test_evaluation_needs_no_other_rank(both: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    assert_near(both[0]["evaluated"], whole["evaluated"])


def test_a_large_mean_costs_few_digits(both: list[dict[str, Any]]) -> None:
    expected = nn.BatchNorm2d(3).double()(far_from_zero().double())
    found = torch.cat([rank["far"] for rank in both]).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_bfloat16_is_normalised_as_torch_does(both: list[dict[str, Any]]) -> None:
    expected = nn.BatchNorm2d(3)(whole_batch(0).bfloat16())
    torch.testing.assert_close(torch.cat([rank["bfloat16"] for rank in both]), expected)


def test_alone_it_is_torchs() -> None:
    expected, found = run(network(), Ranks()), run(convert_batch_norm(network()), Ranks())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_conversion_keeps_the_tensors_their_names_and_the_mode() -> None:
    layers = network().eval()
    before = {**dict(layers.named_parameters()), **dict(layers.named_buffers())}
    assert convert_batch_norm(layers) is layers
    after = {**dict(layers.named_parameters()), **dict(layers.named_buffers())}
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)
    assert sum(isinstance(layer, SyncBatchNorm) for layer in layers.modules()) == 4
    assert not any(layer.training for layer in layers.modules())
    assert isinstance(convert_batch_norm(nn.BatchNorm2d(3)), SyncBatchNorm)


if __name__ == "__main__":
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
