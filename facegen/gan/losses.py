"""Adversarial losses on logits, each with its equation. A positive logit D means "real"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus


def non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Compute −E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], written with softplus, which is stable in any precision.

    Goodfellow et al., arXiv:1406.2661, equation 1. Logits [B] each → scalar. The value is ln 4 ≈ 1.386 if the
    discriminator cannot tell real from generated.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """Compute −E[log σ(D(G(z)))].

    Goodfellow et al., arXiv:1406.2661, end of section 3. Logits [B] → scalar.
    """
    return softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Compute E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]. Logits beyond ±1 give no gradient.

    Lim and Ye, arXiv:1705.02894; Miyato et al., arXiv:1802.05957, equation 16. Logits [B] each → scalar.
    """
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Compute −E[D(G(z))], the generator's loss for both hinge and Wasserstein.

    Miyato et al., arXiv:1802.05957, equation 17. Logits [B] → scalar.
    """
    return -fake.mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Compute ½·E[(D(x) − 1)²] + ½·E[D(G(z))²]: the target is 1 for real and 0 for generated images.

    Mao et al., arXiv:1611.04076, equation 9. Logits [B] each → scalar. The value is ¼ if the discriminator cannot tell.
    """
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """Compute ½·E[(D(G(z)) − 1)²].

    Mao et al., arXiv:1611.04076, equation 9. Logits [B] → scalar.
    """
    return (fake - 1).square().mean() / 2


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Compute E[D(G(z))] − E[D(x)], which is minus an estimate of the earth mover's distance.

    A penalty must keep D 1-Lipschitz. Arjovsky et al., arXiv:1701.07875, equation 2. Logits [B] each → scalar.
    """
    return fake.mean() - real.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Compute E[f(D(G(z)) − D(x))] with f = softplus: each real image is compared with a generated one (RpGAN).

    Jolicoeur-Martineau, arXiv:1807.00734, section 4.1, as written by Huang et al., arXiv:2501.05441, equation 2.
    Logits [B] each → scalar. The value is ln 2 ≈ 0.693 if the discriminator cannot tell.
    """
    return softplus(fake - real).mean()


def relativistic_generator(fake: Tensor, real: Tensor) -> Tensor:
    """Compute E[f(D(x) − D(G(z)))] with f = softplus.

    Huang et al., arXiv:2501.05441, section 2. Logits [B] each → scalar.
    """
    return softplus(real - fake).mean()


#: Maps logits to the discriminator's opinion of each image in [0, 1]: (D(x), D(G(z))), [B] each.
Belief = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _probabilities(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return real.sigmoid(), fake.sigmoid()


def _clipped(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return real.clamp(0, 1), fake.clamp(0, 1)


def _relative(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Rate each image within its pair, for losses in which only differences of logits matter."""
    return (real - fake).sigmoid(), (fake - real).sigmoid()


@dataclass(frozen=True)
class Loss:
    """The losses of the discriminator and the generator on logits [B].

    Attributes:
        discriminator: The discriminator's loss, of ``(real, fake)``.
        generator: The generator's loss, of ``(fake)``, or of ``(fake, real)`` if ``paired``.
        belief: The discriminator's opinion of each image, to monitor training.
        paired: Whether the generator's loss also uses the logits of real images.
        log_ratio: Whether the logit of the best discriminator is log p_data / p_G up to a constant. Rejection
            sampling needs it.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    belief: Belief = _probabilities
    paired: bool = False
    log_ratio: bool = False


#: Losses by the name that a recipe uses.
LOSSES: dict[str, Loss] = {
    "non_saturating": Loss(non_saturating_discriminator, non_saturating_generator, log_ratio=True),
    "hinge": Loss(hinge_discriminator, hinge_generator),
    "least_squares": Loss(least_squares_discriminator, least_squares_generator, _clipped),
    "wasserstein": Loss(wasserstein_discriminator, hinge_generator, _relative),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, _relative, paired=True, log_ratio=True),
}
