"""Discriminator rejection sampling: keep an image with a probability that grows with its logit.

Azadi et al., arXiv:1810.06758. A discriminator that minimises the logistic loss has the logit D̃(x) = log p_data(x) /
p_G(x). Keeping x with probability exp(D̃(x) − M), where M is the largest possible logit, turns the generator's
distribution into that of the data. The same holds for every loss whose best logit is D̃ up to a constant
(``log_ratio`` in :mod:`facegen.gan.losses`), because subtracting M removes the constant.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Number of images from which M, γ and the acceptance rate are estimated before the first candidate, and the seed of
#: their latents, which no sample uses.
BURN_IN, BURN_IN_SEED = 4096, 2_000_003
#: γ is this percentile of F over the burn-in: four of five candidates are more likely to be dropped than kept.
PERCENTILE = 80
_EPSILON = 1e-14
#: Keeps these random numbers apart from others of (seed, index).
_STREAM = 1810_06758


class Rejection:
    """Decides for one candidate after another which to keep.

    Each is kept with probability σ(F − γ), where F = D̃ − M − log(1 − exp(D̃ − M − ε)), the practical scheme of the
    paper. γ = 0 would give the exact probability, but M is reached so rarely that almost nothing would be kept. M is
    the largest logit so far, as in algorithm 1. When a candidate raises it, γ is recomputed from the burn-in.

    The paper calibrates its ImageNet discriminator on images that were set aside. A run keeps no real images, so the
    logits are not calibrated here.

    Attributes:
        acceptance: Fraction of the burn-in that would be kept.
    """

    def __init__(self, burn_in: npt.NDArray[np.float64], seed: int) -> None:
        """Estimate M, γ and the acceptance rate.

        Args:
            burn_in: Logits of images that are not candidates, float64 [B].
        """
        self._burn_in, self._seed, self._candidates = burn_in, seed, 0
        self._raise_maximum(float(burn_in.max()))
        self.acceptance = float(self._probability(burn_in).mean())

    def keep(self, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Decide which of the next candidates to keep: float64 [B] → bool [B].

        The random number of candidate i depends on (seed, i) only. The decision also depends on earlier logits, but
        not on the number of candidates per call.
        """
        kept = np.empty(len(logits), dtype=np.bool_)
        for index, logit in enumerate(logits):
            if logit > self._maximum:
                self._raise_maximum(float(logit))
            draw = np.random.default_rng((self._seed, self._candidates, _STREAM)).random()
            kept[index] = draw < self._probability(logit)
            self._candidates += 1
        return kept

    def _raise_maximum(self, maximum: float) -> None:
        self._maximum, self._gamma = maximum, 0.0
        self._gamma = float(np.percentile(self._shifted(self._burn_in), PERCENTILE))

    def _shifted(self, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Compute F − γ."""
        below = np.asarray(logits, dtype=np.float64) - self._maximum
        return below - np.log(-np.expm1(below - _EPSILON)) - self._gamma

    def _probability(self, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return 0.5 * (1 + np.tanh(self._shifted(logits) / 2))
