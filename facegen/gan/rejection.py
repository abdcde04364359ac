"""Discriminator rejection sampling: keep a generator's image as likely as its discriminator finds it real.

Azadi et al., arXiv:1810.06758. A discriminator that has learned the logistic loss to the end has the logit
D̃(x) = log p_data(x) / p_G(x). Keeping x with probability exp(D̃(x) − M), where M is the greatest logit there is, would
then turn the generator's distribution into the data's. The same goes for every loss whose best logit is that up to a
constant (``log_ratio`` in :mod:`facegen.gan.losses`), which M takes away again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Images from which M, γ and the acceptance rate are estimated before the first candidate, and the seed of their
#: latents: no sample's.
BURN_IN, BURN_IN_SEED = 4096, 2_000_003
#: γ is this percentile of F over the burn-in: of five candidates four are more likely dropped than kept.
PERCENTILE = 80
_EPSILON = 1e-14
#: Set apart from the other draws of (seed, index).
_STREAM = 1810_06758


class Rejection:
    """Decides, candidate by candidate, which to keep.

    Each is kept with probability σ(F − γ), F = D̃ − M − log(1 − exp(D̃ − M − ε)), the paper's practical scheme. γ = 0
    would be the exact probability, but M is so rarely met that next to nothing would be kept. M is the greatest logit
    so far, as in algorithm 1; when a candidate raises it, γ follows from the burn-in anew.

    The paper calibrates its ImageNet discriminator on images set aside. A run keeps no real images, so the logits are
    used as they are: uncalibrated.

    Attributes:
        acceptance: the share of the burn-in that would be kept.
    """

    def __init__(self, burn_in: npt.NDArray[np.float64], seed: int) -> None:
        """``burn_in``: float64 [B], logits of images that are no candidates."""
        self._burn_in, self._seed, self._candidates = burn_in, seed, 0
        self._raise_maximum(float(burn_in.max()))
        self.acceptance = float(self._probability(burn_in).mean())

    def keep(self, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of the next candidates are kept: float64 [B] → bool [B].

        The draw for candidate i depends on (seed, i) only, and the decision besides on the logits before it: none
        of it on how many are asked about at once.
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
        """F − γ."""
        below = np.asarray(logits, dtype=np.float64) - self._maximum
        return below - np.log(-np.expm1(below - _EPSILON)) - self._gamma

    def _probability(self, logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return 0.5 * (1 + np.tanh(self._shifted(logits) / 2))
