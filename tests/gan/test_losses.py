from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, mse_loss

from facegen.gan.losses import LOSSES, non_saturating_discriminator, non_saturating_generator


def test_equals_binary_cross_entropy_of_the_sigmoid() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(9), torch.randn(9)
    ones, zeros = torch.ones(9), torch.zeros(9)
    expected = binary_cross_entropy(real.sigmoid(), ones) + binary_cross_entropy(fake.sigmoid(), zeros)
    torch.testing.assert_close(non_saturating_discriminator(real, fake), expected)
    torch.testing.assert_close(non_saturating_generator(fake), binary_cross_entropy(fake.sigmoid(), ones))


def test_is_ln_4_where_d_cannot_tell() -> None:
    assert non_saturating_discriminator(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(math.log(4))


def test_stays_finite_and_keeps_a_gradient_where_d_is_certain() -> None:
    logits = torch.tensor([-200.0], requires_grad=True)
    loss = non_saturating_generator(logits)
    loss.backward()
    assert loss.item() == pytest.approx(200) and logits.grad is not None and logits.grad.item() == pytest.approx(-1)


def logits() -> tuple[torch.Tensor, torch.Tensor]:
    """D(x) and D(G(z)) of three pairs."""
    return torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 1.0])


def test_hinge_counts_what_lies_within_the_margin() -> None:
    real, fake = logits()
    # max(0, 1 − x): 0, 0.5, 2; max(0, 1 + x): 0, 1, 2.
    assert LOSSES["hinge"].discriminator(real, fake).item() == pytest.approx(2.5 / 3 + 3 / 3)
    assert LOSSES["hinge"].generator(fake).item() == pytest.approx(1 / 3)


def test_least_squares_is_half_the_mean_squared_error() -> None:
    real, fake = logits()
    expected = (mse_loss(real, torch.ones(3)) + mse_loss(fake, torch.zeros(3))) / 2
    torch.testing.assert_close(LOSSES["least_squares"].discriminator(real, fake), expected)
    torch.testing.assert_close(LOSSES["least_squares"].generator(fake), mse_loss(fake, torch.ones(3)) / 2)


def test_wasserstein_is_the_difference_of_means() -> None:
    real, fake = logits()
    assert LOSSES["wasserstein"].discriminator(real, fake).item() == pytest.approx(-1 / 3 - 0.5)
    assert LOSSES["wasserstein"].generator(fake).item() == pytest.approx(1 / 3)


def test_relativistic_is_cross_entropy_of_which_of_a_pair_is_real() -> None:
    real, fake = logits()
    d = binary_cross_entropy((real - fake).sigmoid(), torch.ones(3))
    g = binary_cross_entropy((fake - real).sigmoid(), torch.ones(3))
    torch.testing.assert_close(LOSSES["relativistic"].discriminator(real, fake), d)
    torch.testing.assert_close(LOSSES["relativistic"].generator(fake, real), g)


def test_relativistic_does_not_see_what_is_added_to_all_logits() -> None:
    real, fake = logits()
    shifted = LOSSES["relativistic"].discriminator(real + 7, fake + 7)
    torch.testing.assert_close(shifted, LOSSES["relativistic"].discriminator(real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_its_own_way(name: str) -> None:
    """D raises D(x) and lowers D(G(z)); G raises D(G(z))."""
    real, fake = (torch.tensor([0.2, 0.4], requires_grad=True) for _ in range(2))
    loss = LOSSES[name]
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    (loss.generator(fake, real.detach()) if loss.paired else loss.generator(fake)).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_belief_is_a_share_of_one_and_higher_for_what_looks_more_real(name: str) -> None:
    real, fake = LOSSES[name].belief(torch.tensor([5.0]), torch.tensor([-5.0]))
    assert 0.99 < real.item() <= 1 and 0 <= fake.item() < 0.01
