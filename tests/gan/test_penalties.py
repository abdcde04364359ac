"""Penalties against hand-worked discriminators and against autograd's double backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.gan.penalties import between, input_gradient, one_centred, zero_centred


def linear(images: Tensor) -> Tensor:
    """D(x) = 3·x₀ + 4·x₁ of images with two pixels: its gradient is (3, 4) everywhere, of norm 5."""
    return images.flatten(1) @ torch.tensor([3.0, 4.0])


def test_of_a_linear_d_they_are_functions_of_its_norm() -> None:
    logits, gradient = input_gradient(linear, torch.ones(6, 1, 1, 2))
    assert logits.tolist() == [7.0] * 6 and gradient.flatten(1).tolist() == [[3.0, 4.0]] * 6
    assert zero_centred(gradient).item() == pytest.approx(25 / 2)
    assert one_centred(gradient).item() == pytest.approx(16)


def test_of_a_quadratic_d_r1_is_half_the_squared_distance() -> None:
    """D(x) = ‖x‖²/2 has the gradient x."""
    images = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    _, gradient = input_gradient(lambda x: x.square().sum((1, 2, 3)) / 2, images)
    torch.testing.assert_close(gradient, images)
    torch.testing.assert_close(zero_centred(gradient), images.square().sum() / 5 / 2)


def test_a_flat_d_has_a_finite_derivative() -> None:
    weight = torch.zeros(2, requires_grad=True)
    _, gradient = input_gradient(lambda x: x.flatten(1) @ weight, torch.ones(1, 1, 1, 2))
    one_centred(gradient).backward()
    assert weight.grad is not None and torch.isfinite(weight.grad).all()


@pytest.mark.parametrize("wrap", [lambda layer: layer, spectral_norm], ids=["plain", "spectral"])
def test_gradients_in_the_weights_equal_autograds_double_backward(wrap: type) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)), nn.LeakyReLU(0.2), wrap(nn.Conv2d(4, 4, 3)), nn.Flatten(),
                            nn.Softplus(), wrap(nn.Linear(4 * 16, 1))).eval()  # fmt: skip
    images = torch.randn(5, 3, 8, 8)

    def discriminator(x: Tensor) -> Tensor:
        return network(x).flatten()

    logits, gradient = input_gradient(discriminator, images)
    (zero_centred(gradient) + one_centred(gradient) + logits.square().mean()).backward()
    ours = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()

    images.requires_grad_()
    logits = discriminator(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)
    (norms.square().mean() / 2 + (norms - 1).square().mean() + logits.square().mean()).backward()
    torch.testing.assert_close(ours, [parameter.grad for parameter in network.parameters()])


def test_the_scale_changes_nothing_but_rounding() -> None:
    images = torch.ones(2, 1, 1, 2)
    torch.testing.assert_close(input_gradient(linear, images, torch.tensor(2.0**16)), input_gradient(linear, images))


def test_between_is_a_weighted_mean_of_each_pair() -> None:
    real, fake = torch.full((3, 1, 2, 2), 10.0), torch.zeros(3, 1, 2, 2)
    mixed = between(real, fake, torch.tensor([0.0, 0.25, 0.5]))
    assert mixed[:, 0, 0, 0].tolist() == [0.0, 2.5, 5.0]
