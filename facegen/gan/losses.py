"""Adversarial losses on logits, a few lines each with its equation. D's logit is positive for "real"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus


def non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """−E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], as softplus, which is the same and stable in any precision.

    Goodfellow et al., arXiv:1406.2661, equation 1. Logits [B] each → scalar; ln 4 ≈ 1.386 when D cannot tell.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """−E[log σ(D(G(z)))]. Goodfellow et al., arXiv:1406.2661, end of section 3. Logits [B] → scalar."""
    return softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]: logits beyond ±1 teach nothing more.

    Lim and Ye, arXiv:1705.02894; Miyato et al., arXiv:1802.05957, equation 16. Logits [B] each → scalar.
    """
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """−E[D(G(z))]. Miyato et al., arXiv:1802.05957, equation 17; Wasserstein's too. Logits [B] → scalar."""
    return -fake.mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½·E[(D(x) − 1)²] + ½·E[D(G(z))²]: 1 means real and 0 generated.

    Mao et al., arXiv:1611.04076, equation 9. Logits [B] each → scalar; ¼ when D cannot tell.
    """
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """½·E[(D(G(z)) − 1)²]. Mao et al., arXiv:1611.04076, equation 9. Logits [B] → scalar."""
    return (fake - 1).square().mean() / 2


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G(z))] − E[D(x)], for a D that a penalty keeps 1-Lipschitz: minus an estimate of the earth mover's distance.

    Arjovsky et al., arXiv:1701.07875, equation 2. Logits [B] each → scalar.
    """
    return fake.mean() - real.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[f(D(G(z)) − D(x))] with f = softplus: each real image against a generated one (RpGAN).

    Jolicoeur-Martineau, arXiv:1807.00734, section 4.1, as written by Huang et al., arXiv:2501.05441, equation 2.
    Logits [B] each → scalar; ln 2 ≈ 0.693 when D cannot tell.
    """
    return softplus(fake - real).mean()


def relativistic_generator(fake: Tensor, real: Tensor) -> Tensor:
    """E[f(D(x) − D(G(z)))] with f = softplus. Huang et al., arXiv:2501.05441, section 2. Logits [B] each → scalar."""
    return softplus(real - fake).mean()


#: What D makes of each image, in [0, 1]: (D(x), D(G(z))) as [B] each, from its logits.
Belief = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _probabilities(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return real.sigmoid(), fake.sigmoid()


def _clipped(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return real.clamp(0, 1), fake.clamp(0, 1)


def _relative(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Where only differences of logits mean something: how surely each is taken for the more real of its pair."""
    return (real - fake).sigmoid(), (fake - real).sigmoid()


@dataclass(frozen=True)
class Loss:
    """D's loss and G's, of logits [B].

    Attributes:
        discriminator: of ``(real, fake)``.
        generator: of ``(fake)``, or of ``(fake, real)`` where ``paired``.
        belief: what the logits say of each image, to watch the training by.
        paired: G's side compares with the logits of real images too.
        log_ratio: its best D has the logit log p_data / p_G, up to a constant: what rejection sampling reads.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    belief: Belief = _probabilities
    paired: bool = False
    log_ratio: bool = False


#: What a recipe can name.
LOSSES: dict[str, Loss] = {
    "non_saturating": Loss(non_saturating_discriminator, non_saturating_generator, log_ratio=True),
    "hinge": Loss(hinge_discriminator, hinge_generator),
    "least_squares": Loss(least_squares_discriminator, least_squares_generator, _clipped),
    "wasserstein": Loss(wasserstein_discriminator, hinge_generator, _relative),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, _relative, paired=True, log_ratio=True),
}
