"""What a run tells while it goes: ``log.jsonl``, TensorBoard and warnings in words."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from facegen import console
from facegen.files import write_text

LOG = "log.jsonl"


def read_log(run: Path) -> list[dict[str, Any]]:
    """The log's ticks, oldest first; an unfinished last line (a killed process) is left out."""
    path = run / LOG
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class TrainingLog:
    """Appends ticks to ``log.jsonl`` and TensorBoard; on resume it forgets what came after the checkpoint."""

    def __init__(self, run: Path, kimg: float) -> None:
        from torch.utils.tensorboard import SummaryWriter

        kept = [tick for tick in read_log(run) if tick["kimg"] <= kimg + 1e-9]
        write_text(run / LOG, "".join(json.dumps(tick) + "\n" for tick in kept))
        self._file = (run / LOG).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run), purge_step=round(kimg * 1000) + 1)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def tick(self, figures: dict[str, float | None]) -> None:
        """Write one tick: its figures by name, ``kimg`` among them; None where a figure does not exist here."""
        self._file.write(json.dumps(figures, allow_nan=False) + "\n")
        self._file.flush()
        step = round((figures["kimg"] or 0) * 1000)
        for name, value in figures.items():
            if name != "kimg" and value is not None:
                self._board.add_scalar(name, value, step)
        self._board.flush()


def describe_tick(figures: dict[str, float | None]) -> str:
    """A tick as the one line that the console shows."""
    words = [
        f"kimg {figures['kimg']:<8.1f}",
        f"sec/kimg {figures['sec_per_kimg']:<6.2f}",
        f"{figures['images_per_sec']:,.0f} images/s",
        f"loss D {figures['loss_d']:.3f} G {figures['loss_g']:.3f}",
        f"D(x) {figures['d_real']:.2f}",
        f"D(G(z)) {figures['d_fake']:.2f}",
    ]
    if figures["memory_gib"] is not None:
        words.append(f"memory {figures['memory_gib']:.1f} GiB")
    if figures.get("fid") is not None:
        words.append(f"score {figures['fid']:.2f}")
    return "  ".join(words)


class Health:
    """Warns in words, once per episode, when D has won or G has collapsed."""

    #: D is sure of nearly everything: its gradient, which is all that G learns from, has faded.
    SURE = 0.99
    #: D is wrong by more than the noise of a tick, in which D(x) and D(G(z)) may change places.
    WRONG = 0.1
    #: Mean standard deviation over latents of a pixel in [−1, 1]; real faces have about 0.5.
    ALIKE = 0.05
    #: Ticks in which an untrained G's images may still be alike.
    GRACE = 5

    def __init__(self) -> None:
        self._warned: set[str] = set()
        self._ticks, self._differed = 0, False

    def _episode(self, name: str, present: bool, words: str) -> None:
        if present and name not in self._warned:
            console.warn(words)
        (self._warned.add if present else self._warned.discard)(name)

    def check(self, figures: dict[str, float | None]) -> None:
        real, fake, spread = figures["d_real"], figures["d_fake"], figures["spread"]
        assert real is not None and fake is not None and spread is not None
        self._ticks += 1
        self._differed = self._differed or spread >= self.ALIKE
        self._episode(
            "d_won",
            real > self.SURE and fake < 1 - self.SURE,
            f"the discriminator has won: D(x) {real:.3f}, D(G(z)) {fake:.3f}. The generator no longer learns; if this "
            "lasts, start again with a lower discriminator_lr or another seed.",
        )
        self._episode(
            "d_lost",
            real < 0.5 < fake and fake - real > self.WRONG,
            f"the discriminator has collapsed: it takes generated images for more real (D(G(z)) {fake:.3f}) than "
            f"real ones (D(x) {real:.3f}); if this lasts, raise discriminator_lr.",
        )
        self._episode(
            "g_collapsed",
            spread < self.ALIKE and (self._differed or self._ticks > self.GRACE),
            f"the generator has collapsed: its images differ by only {spread:.3f} (standard deviation of a pixel in "
            "[−1, 1] over latents; real faces have about 0.5). Start again with a lower learning rate or another seed.",
        )
