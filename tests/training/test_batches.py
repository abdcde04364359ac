from __future__ import annotations

import numpy as np
import torch

from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks

CPU = torch.device("cpu")


def numbered(count: int) -> np.ndarray:
    """Images whose every pixel is their number."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()


def numbers(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order() -> None:
    real = RealImages(numbered(12), np.arange(2, 12), batch=5, seed=0, device=CPU, ranks=Ranks())
    epochs = [numbers(real(2 * epoch, None)) + numbers(real(2 * epoch + 1, None)) for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(2, 12))] * 2
    assert epochs[0] != epochs[1]


def test_batches_run_across_the_end_of_an_epoch() -> None:
    real = RealImages(numbered(4), np.arange(4), batch=3, seed=0, device=CPU, ranks=Ranks())
    seen = [number for step in range(4) for number in numbers(real(step, None))]
    assert [sorted(seen[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3


def test_a_batch_depends_on_its_step_only() -> None:
    first, second = (RealImages(numbered(9), np.arange(9), batch=4, seed=3, device=CPU, ranks=Ranks()) for _ in "12")
    for step in range(6):
        first(step, None)
    assert torch.equal(first(7, None), second(7, None))


def test_pixels_are_normalised_to_minus_one_and_one_in_channels_last() -> None:
    extremes = np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)])
    images = RealImages(extremes, np.arange(2), batch=2, seed=0, device=CPU, ranks=Ranks())(0, None)
    assert images.dtype == torch.float32 and images.is_contiguous(memory_format=torch.channels_last)
    assert sorted(images.unique().tolist()) == [-1.0, 1.0]


def test_mirrored_images_are_flipped_left_to_right_and_no_others() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    real = RealImages(pixels, np.arange(2), batch=2, seed=0, device=CPU, ranks=Ranks())
    plain, mirrored = real(0, None), real(0, torch.tensor([True, False]))
    assert torch.equal(mirrored[0], plain[0].flip(2)) and torch.equal(mirrored[1], plain[1])


def test_ranks_share_the_global_batch_without_overlap() -> None:
    whole = RealImages(numbered(8), np.arange(8), batch=4, seed=0, device=CPU, ranks=Ranks())
    shares = [RealImages(numbered(8), np.arange(8), batch=4, seed=0, device=CPU, ranks=Ranks(r, 2)) for r in (0, 1)]
    assert numbers(whole(1, None)) == [number for share in shares for number in numbers(share(1, None))]
