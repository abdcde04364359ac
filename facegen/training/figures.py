"""The figures of training: what a step reports, and their means, added up on the device until a tick of the log."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from facegen.training.distributed import Ranks

#: What a step reports, 0-dim each, on the device: the losses; D(x) and D(G(z)), as the loss reads logits; how much G's
#: images differ (the mean over pixels of their standard deviation over the batch); where the recipe has them, the
#: weighted penalties in ``penalty`` and the present probability of an alteration in ``augment_p``.
StepFigures = dict[str, Tensor]

#: The same as numbers: means over steps and ranks. None for a figure that none of the steps had.
Figures = dict[str, float | None]


class RunningMeans:
    """Running sums of what steps report.

    Args:
        skippable: names of figures that may be missing from a step, where they are not finite. They are left out of
            their mean. Any other figure that is not finite makes its mean so.
    """

    def __init__(self, skippable: Collection[str] = ()) -> None:
        self._skippable = skippable
        self._names: list[str] = []
        self._sums = self._counts = self._may_be_missing = torch.empty(0)

    @torch.no_grad()
    def add(self, figures: StepFigures) -> None:
        """Count one step's figures, by the same names each time."""
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
        """Each figure's mean over steps and ranks, None where no step had it; and begin anew. Waits for the device."""
        ranks.average([self._sums, self._counts])
        sums, counts = torch.stack([self._sums, self._counts]).tolist()
        self.reset()
        return {
            name: total / count if count else None for name, total, count in zip(self._names, sums, counts, strict=True)
        }
