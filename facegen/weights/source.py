"""The interface of a source of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Installed:
    """A file at the place of the published one, and whether its sha256 is right."""

    path: Path
    sha256: str
    right: bool


class Weights(Protocol):
    """A source of an extractor's weights: a file to download, or a file of an installed package.

    The two are :class:`facegen.weights.published.Published` and :class:`facegen.weights.packaged.Packaged`.

    Attributes:
        sha256: The sha256 of the right file.
        name: The published name of the file, or None.
        source: Where it comes from: an address, or a command.
        command: The command that installs it.
        reinstall: A sentence that says what to do about a wrong file.
        replaceable: Whether ``--weights FILE`` may replace it.
        needed: Whether every installation must have it, so that its absence is a defect.
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
        """Return the installed file, right or wrong, or None. Nothing is downloaded."""

    def ensure(self) -> Installed:
        """Return the file, downloading it now if necessary.

        Raises:
            EnvironmentProblem: The file cannot be obtained.
        """

    def install(self, source: Path) -> Installed:
        """Install this file.

        Raises:
            InputError: It is another file, or these weights cannot be installed from a file.
        """
