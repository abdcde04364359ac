from __future__ import annotations

import pytest
import torch

from facegen.training.staging_buffer import ALIGNED, StagingBuffer, TensorSpec

CPU = torch.device("cpu")
SPECS = {
    "latents": TensorSpec((2, 3, 5)),
    "mirrored": TensorSpec((3,), torch.bool),
    "nothing": TensorSpec((3, 0)),
    "pixels": TensorSpec((3, 2, 2, 3), torch.uint8),
    "positions": TensorSpec((7,), torch.int64),
    "rate": TensorSpec(()),
}


def filled(tensors: dict[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """Fill them with what is different in each, and of each number."""
    draw = torch.Generator().manual_seed(number)
    for tensor in tensors.values():
        tensor.copy_(torch.randint(0, 100, tensor.shape, generator=draw) % (2 if tensor.dtype == torch.bool else 100))
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("packed", [True, False])
def test_what_was_filled_arrives_in_the_same_place_each_time(packed: bool) -> None:
    staging = StagingBuffer(SPECS, CPU, packed=packed)
    places = {name: tensor.data_ptr() for name, tensor in staging.on_device.items()}
    for number in range(3):
        expected = filled(staging.host(), number)
        staging.send()
        torch.testing.assert_close(staging.on_device, expected, rtol=0, atol=0)
    assert {name: tensor.data_ptr() for name, tensor in staging.on_device.items()} == places
    assert {name: TensorSpec(tuple(each.shape), each.dtype) for name, each in staging.on_device.items()} == SPECS


def test_packed_tensors_are_aligned_in_one_buffer() -> None:
    staging = StagingBuffer(SPECS, CPU, packed=True)
    storages = {tensor.untyped_storage().data_ptr() for tensor in staging.on_device.values()}
    assert len(storages) == 1
    assert {tensor.storage_offset() * tensor.element_size() % ALIGNED for tensor in staging.on_device.values()} == {0}


def test_what_is_on_its_way_is_not_written_over() -> None:
    """The copy to a GPU may still be reading the last step's."""
    staging = StagingBuffer(SPECS, CPU, packed=True)
    on_its_way = staging.host()
    expected = filled(on_its_way, 0)
    staging.send()
    filled(staging.host(), 1)
    torch.testing.assert_close(on_its_way, expected, rtol=0, atol=0)


def test_on_a_cpu_the_host_writes_where_the_step_reads() -> None:
    staging = StagingBuffer(SPECS, CPU)
    assert all(tensor is staging.on_device[name] for name, tensor in staging.host().items())
