"""The figures of training: what each step reports, and the means of these reports.

The device adds the figures up until the next tick of the log.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from facegen.training.distributed import Ranks

#: The figures of a step: 0-dim tensors on the device, by name. They are the losses; D(x) and D(G(z)), as the loss reads
#: the logits; and ``spread``, the mean over pixels of the standard deviation of generated images over the batch.
#: If the recipe has them, ``penalty`` is the sum of the weighted penalties, and ``augment_p`` the present
#: probability of augmentation.
StepFigures = dict[str, Tensor]

#: The same figures as numbers: means over steps and ranks. None for a figure that no step had.
Figures = dict[str, float | None]


class RunningMeans:
    """Running means of the figures of steps.

    Args:
        skippable: Names of the figures that a step may lack. When such a figure is not finite, its mean leaves the step
            out. When any other figure is not finite, neither is its mean.
    """

    def __init__(self, skippable: Collection[str] = ()) -> None:
        self._skippable = skippable
        self._names: list[str] = []
        self._sums = self._counts = self._may_be_missing = torch.empty(0)

    @torch.no_grad()
    def add(self, figures: StepFigures) -> None:
        """Add the figures of one step. Every step must have the same names."""
        row = torch.stack([figure.float() for figure in figures.values()])
        if not self._names:
            self._names = list(figures)
            self._sums, self._counts = torch.zeros_like(row), torch.zeros_like(row)
            missing = [name in self._skippable for name in self._names]
            self._may_be_missing = torch.tensor(missing, device=row.device)
        counted = row.isfinite() | ~self._may_be_missing
        self._sums += torch.where(counted, row, 0)
        self._counts += counted

    def reset(self) -> None:
        self._sums.zero_()
        self._counts.zero_()

    def read(self, ranks: Ranks) -> Figures:
        """Return each figure's mean over steps and ranks, and start new means.

        The mean is None for a figure that no step had. This call waits for the device.
        """
        ranks.average([self._sums, self._counts])
        sums, counts = torch.stack([self._sums, self._counts]).tolist()
        self.reset()
        return {
            name: total / count if count else None for name, total, count in zip(self._names, sums, counts, strict=True)
        }
