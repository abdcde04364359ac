"""The figures of a game's steps, added up on the device until a line of the log is due."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from facegen.training.distributed import Ranks


class Tally:
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
    def add(self, figures: dict[str, Tensor]) -> None:
        """Count one step's figures, 0-dim each, by the same names each time."""
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

    def read(self, ranks: Ranks) -> dict[str, float | None]:
        """Each figure's mean over steps and ranks, None where no step had it; and begin anew. Waits for the device."""
        ranks.average([self._sums, self._counts])
        sums, counts = torch.stack([self._sums, self._counts]).tolist()
        self.reset()
        return {
            name: total / count if count else None for name, total, count in zip(self._names, sums, counts, strict=True)
        }
