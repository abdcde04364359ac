"""D's loss as one compiled graph against the same arithmetic with autograd's double backward."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from facegen.gan.losses import LOSSES
from facegen.training.objective import NO_PENALTY, PenaltyWeights, compiled_gradients, evaluate_loss

R1, R2, PENALTY = 0.7, 0.3, 2.0


class Critic(nn.Module):
    """A D with a grouped convolution and a smooth activation: second derivatives are not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, stride=2, groups=2), nn.SiLU(), nn.Flatten()
        )
        self.head = nn.Linear(8 * 3 * 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images)).flatten()
        return logits


def networks_and_images() -> tuple[Critic, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return Critic(), torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8), torch.rand(4)


def by_double_backward(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> tuple[list[float], list[Tensor]]:
    """RpGAN with R1, R2 and WGAN-GP's penalty as their papers write them; and its gradients in the weights."""

    def norms(images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.clone().requires_grad_()
        logits = critic(images)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return logits, gradient.flatten(1).norm(dim=1)

    (real_logits, at_real), (fake_logits, at_fake) = norms(real), norms(fake)
    epsilon = mix[:, None, None, None]
    _, at_mixed = norms(epsilon * real + (1 - epsilon) * fake)
    loss = softplus(fake_logits - real_logits).mean()
    penalty = R1 / 2 * at_real.square().mean() + R2 / 2 * at_fake.square().mean()
    penalty = penalty + PENALTY * (at_mixed - 1).square().mean()
    return [loss.item(), penalty.item()], list(torch.autograd.grad(loss + penalty, list(critic.parameters())))


def weights() -> PenaltyWeights:
    return PenaltyWeights(*map(torch.tensor, (R1, R2, PENALTY)))


def test_eager_equals_double_backward() -> None:
    critic, real, fake, mix = networks_and_images()
    terms = evaluate_loss(critic, real, fake, mix, loss=LOSSES["relativistic"], weights=weights(), scale=torch.ones(()))
    gradients = torch.autograd.grad(terms.loss + terms.penalty, list(critic.parameters()))
    values, expected = by_double_backward(critic, real, fake, mix)
    assert [terms.loss.item(), terms.penalty.item()] == pytest.approx(values)
    torch.testing.assert_close(list(gradients), expected)


def test_the_compiled_graphs_gradients_equal_double_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured whole and differentiated twice; run without the C++ compiler, which not every machine has."""
    scale = 1024.0  # float16's: the gradients are that much larger
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    critic, real, fake, mix = networks_and_images()
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=False)
    gradients = compiled_gradients(critic, LOSSES["relativistic"], autocast)
    found, terms = gradients(dict(critic.named_parameters()), real, fake, mix, weights(), torch.tensor(scale))
    values, expected = by_double_backward(critic, real, fake, mix)
    assert [terms.loss.item(), terms.penalty.item()] == pytest.approx(values)
    for (name, _), gradient in zip(critic.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[name] / scale, gradient)


def test_a_penalty_that_is_left_out_costs_no_gradient() -> None:
    critic, real, fake, mix = networks_and_images()
    terms = evaluate_loss(critic, real, fake, mix, loss=LOSSES["hinge"], weights=NO_PENALTY, scale=torch.ones(()))
    assert terms.penalty.item() == 0 and not NO_PENALTY.any
    torch.testing.assert_close(terms.real, critic(real))
