from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from facegen.gan.losses import non_saturating_discriminator, non_saturating_generator


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
