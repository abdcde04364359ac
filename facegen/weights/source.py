"""Where weights come from: what every such place can say and do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Installed:
    """A file found where the published one belongs, and whether it is that file by its sha256."""

    path: Path
    sha256: str
    right: bool


class Weights(Protocol):
    """Where an extractor's weights come from: a file to download, or one that a package brings along.

    :class:`facegen.weights.published.Published` and :class:`facegen.weights.packaged.Packaged` are these two.

    Attributes:
        sha256: of the right file's bytes.
        name: of the file as it was published; None where nobody says.
        source: where it comes from: an address, or a command.
        command: what installs it.
        reinstall: what to do about a wrong file, a sentence.
        replaceable: whether ``--weights FILE`` may stand in for it.
        needed: whether every installation has it, so that its absence is a defect.
    """

    @property
    def sha256(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def source(self) -> str: ...
    @property
    def command(self) -> str: ...
    @property
    def reinstall(self) -> str: ...
    @property
    def replaceable(self) -> bool: ...
    @property
    def needed(self) -> bool: ...

    def find(self) -> Installed | None:
        """The installed file, right or wrong; None where there is none. Nothing is downloaded."""

    def ensure(self) -> Installed:
        """The file, downloaded now if it has to be. EnvironmentProblem where it cannot be had."""

    def install(self, source: Path) -> Installed:
        """Install this file. InputError where it is another one, or none can be."""
