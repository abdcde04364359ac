"""Augmentation against the papers' operations written out image by image, with indices by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facegen.gan.augmentation import (
    POLICIES,
    adapted_probability,
    augment,
    brightness,
    contrast,
    cutout,
    flip,
    overfitting_sign,
    parse_policies,
    saturation,
    translation,
    uniforms_per_image,
)

ALL = tuple(POLICIES)
LARGEST = 1 - 2**-24  # of the float32 below 1

a_few_policies = st.permutations(ALL).flatmap(lambda names: st.integers(0, 4).map(lambda n: tuple(names[:n])))
properties = settings(deadline=None, max_examples=25, derandomize=True)


def batch(seed: int, n: int = 4, height: int = 8, width: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, height, width, generator=draw).mul(2).sub(1).to(dtype)


def uniforms_for(seed: int, policies: tuple[str, ...], n: int = 4) -> Tensor:
    return torch.rand(n, uniforms_per_image(policies), generator=torch.Generator().manual_seed(seed))


def moved_by_hand(image: np.ndarray, u: float, v: float) -> np.ndarray:
    height, width = image.shape[1:]
    reach_y, reach_x = math.floor(height / 8 + 0.5), math.floor(width / 8 + 0.5)
    down = math.floor(u * (2 * reach_y + 1)) - reach_y
    right = math.floor(v * (2 * reach_x + 1)) - reach_x
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                result[:, y, x] = image[:, y + down, x + right]
    return result


def cut_by_hand(image: np.ndarray, u: float, v: float) -> np.ndarray:
    height, width = image.shape[1:]
    tall, wide = math.floor(height * 0.5 + 0.5), math.floor(width * 0.5 + 0.5)
    centre_y = math.floor(u * (height + (1 if tall % 2 == 0 else 0)))
    centre_x = math.floor(v * (width + (1 if wide % 2 == 0 else 0)))
    result = image.copy()
    for y in range(centre_y - tall // 2, centre_y - tall // 2 + tall):
        for x in range(centre_x - wide // 2, centre_x - wide // 2 + wide):
            if 0 <= y < height and 0 <= x < width:
                result[:, y, x] = 0
    return result


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (12, 20), (7, 9), (65, 10)])
@pytest.mark.parametrize(("operation", "by_hand"), [(translation, moved_by_hand), (cutout, cut_by_hand)])
def test_moving_and_cutting_equal_loops_over_pixels(
    operation: Callable[[Tensor, Tensor], Tensor],
    by_hand: Callable[[np.ndarray, float, float], np.ndarray],
    size: tuple[int, int],
) -> None:
    images = batch(0, 7, *size)
    uniforms = torch.rand(7, 2, generator=torch.Generator().manual_seed(1))
    uniforms[:4] = torch.tensor([[0, 0], [LARGEST, LARGEST], [0, LARGEST], [0.5, 0.5]])
    expected = [by_hand(image.numpy(), *row.tolist()) for image, row in zip(images, uniforms, strict=True)]
    np.testing.assert_array_equal(operation(images, uniforms).numpy(), np.stack(expected))


def test_every_shift_is_as_probable() -> None:
    """Of 64 rows, each of the 17 shifts from −8 to 8 has a seventeenth of the uniforms."""
    uniforms = torch.arange(17 * 4).add(0.5).div(17 * 4)
    rows = torch.arange(1.0, 65).view(1, 1, 64, 1).expand(68, 1, 64, 64)
    moved = translation(rows, torch.stack([uniforms, torch.full((68,), 0.5)], 1))
    shifts = moved[:, 0, 32, 32] - 33
    assert shifts.unique(return_counts=True)[0].tolist() == list(range(-8, 9))
    assert shifts.unique(return_counts=True)[1].tolist() == [4] * 17


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, LARGEST])
def test_colours_equal_their_definition(u: float) -> None:
    images = batch(0, 1, dtype=torch.float64)
    x, uniforms = images[0].numpy(), torch.tensor([[u]], dtype=torch.float64)
    grey = (x[0] + x[1] + x[2]) / 3
    np.testing.assert_allclose(brightness(images, uniforms)[0], x + (u - 0.5), rtol=1e-12)
    np.testing.assert_allclose(saturation(images, uniforms)[0], grey + (x - grey) * (2 * u), atol=1e-12)
    np.testing.assert_allclose(contrast(images, uniforms)[0], x.mean() + (x - x.mean()) * (u + 0.5), atol=1e-12)


def test_half_of_the_uniforms_flip() -> None:
    image = batch(0, 1).expand(2, -1, -1, -1)
    flipped = flip(image, torch.tensor([[0.49], [0.5]]))
    assert flipped[0].tolist() == [[row[::-1] for row in channel] for channel in image[0].tolist()]
    assert torch.equal(flipped[1], image[1])


@properties
@given(st.integers(0, 2**32))
def test_flipping_twice_changes_nothing(seed: int) -> None:
    images, uniforms = batch(seed), torch.rand(4, 1, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(flip(flip(images, uniforms), uniforms), images)


@properties
@given(a_few_policies, st.integers(0, 2**32), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_probability_of_zero_keeps_every_bit(policies: tuple[str, ...], seed: int, dtype: torch.dtype) -> None:
    images = batch(seed, dtype=dtype)
    for probability in (0.0, torch.zeros(())):
        kept = augment(images, policies, uniforms_for(seed, policies), probability)
        assert torch.equal(kept.view(torch.uint8), images.view(torch.uint8))


@properties
@given(a_few_policies, st.integers(0, 2**32), st.integers(0, 3))
def test_an_image_depends_on_its_own_uniforms_only(policies: tuple[str, ...], seed: int, mine: int) -> None:
    probability = torch.tensor(0.7)
    images, uniforms = batch(seed), uniforms_for(seed, policies)
    others, their_uniforms = batch(seed + 1), uniforms_for(seed + 1, policies)
    others[mine], their_uniforms[mine] = images[mine], uniforms[mine]
    together = augment(images, policies, uniforms, probability)
    apart = augment(others, policies, their_uniforms, probability)
    assert torch.equal(together[mine], apart[mine])


@properties
@given(
    a_few_policies,
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
    st.booleans(),
)
def test_shape_dtype_and_memory_format_are_kept(
    policies: tuple[str, ...], dtype: torch.dtype, memory_format: torch.memory_format, autocast: bool
) -> None:
    images = batch(0, 4, 8, 12, dtype).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        altered = augment(images, policies, uniforms_for(1, policies), 0.7)
    assert altered.shape == images.shape and altered.dtype == dtype
    assert altered.is_contiguous(memory_format=memory_format)


@properties
@given(st.integers(0, 2**32))
def test_what_moves_pixels_keeps_them_within_the_range(seed: int) -> None:
    policies = ("flip", "translation", "cutout")
    images = batch(seed)
    altered = augment(images, policies, uniforms_for(seed, policies), 1.0)
    assert set(altered.flatten().tolist()) <= {0.0, *images.flatten().tolist()}


def test_an_operation_is_applied_where_its_first_uniform_is_below_p() -> None:
    images = batch(0, 5)
    decisive = torch.tensor([0.0, 0.49999997, 0.5, 0.9, LARGEST])
    uniforms = torch.stack([decisive, torch.full((5,), 0.1)], 1)
    altered = augment(images, ("flip",), uniforms, torch.tensor(0.5)) != images
    assert altered.flatten(1).any(1).tolist() == [True, True, False, False, False]
    assert (augment(images, ("flip",), uniforms, 1.0) == images.flip(3)).all()


def test_each_operation_reads_uniforms_of_its_own() -> None:
    """With a probability of 1, the policies are their operations one after the other."""
    images, u = batch(0, 16, 16), uniforms_for(1, ALL, 16)
    expected = flip(images, u[:, 1:2])
    expected = contrast(saturation(brightness(expected, u[:, 3:4]), u[:, 5:6]), u[:, 7:8])
    expected = cutout(translation(expected, u[:, 9:11]), u[:, 12:14])
    assert u.shape[1] == 14
    assert torch.equal(augment(images, ALL, u, 1.0), expected)


def test_the_gradient_of_the_sum_through_cutout_is_its_mask() -> None:
    images = torch.ones(8, 3, 10, 10, requires_grad=True)
    left = cutout(images, torch.rand(8, 2, generator=torch.Generator().manual_seed(0)))
    (gradient,) = torch.autograd.grad(left.sum(), images)
    assert torch.equal(gradient, left) and set(left.flatten().tolist()) == {0.0, 1.0}


def test_first_and_second_derivatives_equal_finite_differences() -> None:
    images = batch(0, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    uniforms = uniforms_for(0, ALL, 3)

    def altered(x: Tensor) -> Tensor:
        return augment(x, ALL, uniforms, 0.8).pow(3)

    assert torch.autograd.gradcheck(altered, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(altered, images, fast_mode=True)


def test_it_compiles_whole_and_gives_the_same() -> None:
    """Captured whole, forward and backward; run without the C++ compiler, which not every machine has."""
    compiled = torch.compile(augment, fullgraph=True, backend="aot_eager")
    images = batch(0, 4, 16, 16).contiguous(memory_format=torch.channels_last)
    uniforms, probability = uniforms_for(1, ALL), torch.tensor(0.7)
    results = []
    for function in (augment, compiled):
        leaf = images.clone().requires_grad_()
        altered = function(leaf, ALL, uniforms, probability)
        results.append((altered, *torch.autograd.grad(altered.square().sum(), leaf)))
    torch.testing.assert_close(results[0], results[1])


def test_nothing_reads_a_value_back_from_the_device() -> None:
    """On the meta device there is no value to read: a wait for one raises."""
    meta = partial(torch.empty, device="meta")
    altered = augment(meta(4, 3, 64, 64), ALL, meta(4, uniforms_per_image(ALL)), meta(()))
    sign = overfitting_sign(meta(4))
    step = adapted_probability(meta(()), sign, target=0.6, images=64, kimg=500)
    assert altered.shape == (4, 3, 64, 64) and step.shape == ()


def test_another_number_of_uniforms_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected uniforms \[4, 2\], not \[4, 3\]"):
        augment(batch(0), ("flip",), torch.zeros(4, 3), 1.0)


def test_policies_are_read_in_their_order() -> None:
    assert parse_policies("color,translation,cutout") == ("color", "translation", "cutout")
    assert parse_policies(" cutout, flip ") == ("cutout", "flip")
    assert parse_policies("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour", "'colour' is no augmentation policy; the nearest is 'color'"),
        ("flip,zoom", "'zoom' is no augmentation policy; there are flip, color, translation, cutout"),
        ("flip,", "'' is no augmentation policy; there are flip, color, translation, cutout"),
        ("flip,color,flip", "the augmentation policy 'flip' is given twice"),
    ],
)
def test_policies_that_do_not_exist_are_said(text: str, said: str) -> None:
    with pytest.raises(ValueError) as problem:
        parse_policies(text)
    assert str(problem.value) == said


def test_the_overfitting_sign_is_the_mean_of_signs() -> None:
    assert overfitting_sign(torch.tensor([3.0, 0.1, -7.0, 0.0, 2.0])).item() == pytest.approx(2 / 5)
    assert overfitting_sign(torch.ones(300, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("p", "sign", "expected"),
    [(0.5, 0.7, 0.500512), (0.5, 0.5, 0.499488), (0.5, 0.6, 0.5), (0.0001, -1.0, 0.0), (0.9999, 1.0, 1.0)],
)
def test_p_moves_towards_the_targets_side_by_images_over_kimg(p: float, sign: float, expected: float) -> None:
    """Four batches of 64 images in 500 kimg: 256 / 500,000 = 0.000512."""
    moved = adapted_probability(torch.tensor(p), torch.tensor(sign), target=0.6, images=256, kimg=500)
    assert moved.item() == pytest.approx(expected, rel=1e-6)


def test_p_takes_its_kimg_from_zero_to_one() -> None:
    probability = torch.zeros(())
    for _ in range(50):
        assert probability < 1
        probability = adapted_probability(probability, torch.ones(()), target=0.6, images=10_000, kimg=500)
    assert probability.item() == pytest.approx(1)
