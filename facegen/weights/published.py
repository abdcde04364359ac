"""Published weights: their address, their check by sha256, and their download.

facegen keeps its copy in the cache folder. It also accepts the copy that another program left in torch hub's folder,
as pytorch-fid does with Inception's weights, so that the file is not downloaded twice.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from facegen import console
from facegen.errors import EnvironmentProblem, InputError
from facegen.file_kinds import LEGACY_PYTORCH, PYTORCH, SAFETENSORS, kind_of_file
from facegen.files import atomic_path, cache_folder, sha256_file, writing_told
from facegen.locks import sole_use
from facegen.weights.source import Installed

if TYPE_CHECKING:
    from http.client import HTTPResponse

CONNECT_TIMEOUT = 10.0  # seconds; also the longest silence while downloading
OFFLINE = "FACEGEN_OFFLINE"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        name: The file's name.
        url: Its address.
        size: Its length in bytes.
        sha256: The sha256 of its content.
        title: The name of the network in sentences.
        command: The command that installs it.
    """

    name: str
    url: str
    size: int
    sha256: str
    title: str = "published"
    command: str = "facegen weights"

    replaceable: ClassVar[bool] = True
    needed: ClassVar[bool] = False

    @property
    def path(self) -> Path:
        """The place where facegen keeps the file."""
        return cache_folder() / "weights" / self.name

    @property
    def source(self) -> str:
        """The file's address."""
        return self.url

    @property
    def reinstall(self) -> str:
        """A sentence that says what to do about a wrong file."""
        return f"Delete it and run: {self.command}"

    def find(self) -> Installed | None:
        """Return the installed file, preferring a right one to a wrong one. None if there is none."""
        wrong = None
        for path in (self.path, self._torch_hub_path()):
            if path.is_file():
                # A wrong length would be enough to know, but the user is shown the hash.
                sha256 = sha256_file(path)
                if sha256 == self.sha256:
                    return Installed(path, sha256, right=True)
                wrong = wrong or Installed(path, sha256, right=False)
        return wrong

    def install(self, source: Path) -> Installed:
        """Copy ``source`` to the place where facegen keeps the file.

        Raises:
            InputError: The sha256 of ``source`` is not that of the published file.
        """
        if not source.is_file():
            raise InputError(f"{source} is not a file.", f"Download {self.url} and name that file.")
        sha256 = sha256_file(source)
        if sha256 != self.sha256:
            kind = kind_of_file(source)
            but = "" if kind is None or kind in (PYTORCH, LEGACY_PYTORCH, SAFETENSORS) else f" but {kind.name}"
            raise InputError(
                f"{source} is not {self.name}{but}: {source.stat().st_size:,} bytes with sha256 {sha256}, "
                f"not {self.size:,} with {self.sha256}.",
                f"Download {self.url} again.",
            )
        target = self.path
        with _writing(target), atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
            if sha256_file(temporary) != self.sha256:
                raise InputError(f"{source} changed while it was copied.", "Run it again.")
        return Installed(target, sha256, right=True)

    def ensure(self) -> Installed:
        """Return the installed file, or download it now.

        Raises:
            EnvironmentProblem: Neither is possible.
        """
        found = self.find()
        if found is not None and found.right:
            return found
        if found is not None:
            console.warn(f"{found.path} has sha256 {found.sha256} and is not the published file. It is not used.")
        if os.environ.get(OFFLINE, "") not in ("", "0"):
            raise EnvironmentProblem(
                f"The {self.title} weights are not installed, and {OFFLINE} forbids to download them.",
                self._by_hand(),
            )
        return self.download()

    def download(self) -> Installed:
        """Download the file. A partial download is continued if the server supports that.

        The file gets its name only if its sha256 is right. An interrupted download leaves ``NAME.part``, which the
        next one continues. A complete download with a wrong sha256 is deleted. If two processes need the file, one
        downloads it and the other waits.

        Raises:
            EnvironmentProblem: There is no network, the server sends something else, the file is incomplete or wrong,
                or the cache folder cannot be written.
        """
        target = self.path
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with sole_use(target, f"downloads {self.name}", wait=True):
            if target.is_file() and sha256_file(target) == self.sha256:  # another process has downloaded it
                return Installed(target, self.sha256, right=True)
            return self._download()

    def _download(self) -> Installed:
        import urllib.error  # imported late because it is slow
        from http.client import HTTPException

        target = self.path
        partial = target.with_name(f"{target.name}.part")
        console.info(f"Downloading {self.name} ({self.size / 1e6:.0f} MB) from {self.url}.")
        try:
            self._fetch(partial)
        except (OSError, HTTPException) as problem:
            # An HTTPError is also a URLError, but its own text says more ("HTTP Error 404: Not Found").
            reason = problem.reason if type(problem) is urllib.error.URLError else problem
            raise EnvironmentProblem(
                f"Cannot download {self.url}: {reason or type(problem).__name__}.", self._by_hand()
            ) from problem
        if (size := partial.stat().st_size) < self.size:
            raise EnvironmentProblem(
                f"The download of {self.name} stopped after {size:,} of {self.size:,} bytes.",
                f"Run '{self.command}' again to continue, or: {self._by_hand()}",
            )
        sha256 = sha256_file(partial)
        if sha256 != self.sha256:
            partial.unlink()
            raise EnvironmentProblem(
                f"{self.url} did not send {self.name}: the sha256 is {sha256}, not {self.sha256}. It was deleted.",
                self._by_hand(),
            )
        with _writing(target):
            partial.replace(target)
        return Installed(target, sha256, right=True)

    def _fetch(self, partial: Path) -> None:
        """Append the missing bytes to ``partial``, up to the published length: no server can fill the disk."""
        import urllib.request

        start = partial.stat().st_size if partial.is_file() else 0
        if start >= self.size:
            partial.unlink()
            start = 0
        request = urllib.request.Request(self.url, headers={"User-Agent": "facegen"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT) as response:
            if response.headers.get_content_type() == "text/html":
                raise EnvironmentProblem(f"{self.url} answered with a web page, not with the file.", self._by_hand())
            resumed = start and response.status == 206 and _starts_at(response, start)
            if start and not resumed:
                console.detail("The server cannot continue a partial download, so it starts again.")
            with _writing(partial):
                file = partial.open("ab" if resumed else "wb", buffering=0)  # unbuffered: a failed write is noticed
            with (
                file,
                console.progress(f"Downloading the {self.title} weights", self.size, unit="bytes") as task,
            ):
                task.advance(start if resumed else 0)
                left = self.size - (start if resumed else 0)
                while left > 0 and (chunk := response.read(min(_CHUNK, left))):
                    with _writing(partial):
                        _write(file, chunk)
                    left -= len(chunk)
                    task.advance(len(chunk))

    def _torch_hub_path(self) -> Path:
        """Return where pytorch-fid keeps the file: torch hub's folder, found without importing torch."""
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - no home is no error here
        home = os.environ.get("TORCH_HOME") or Path(cache) / "torch"
        return Path(home) / "hub" / "checkpoints" / self.name

    def _by_hand(self) -> str:
        return f"Download {self.url} on a machine with a network, then run here: {self.command} --from {self.name}"


INCEPTION = Published(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    title="Inception",
)
DINOV2 = Published(
    name="dinov2_vitl14_pretrain.pth",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    size=1_217_586_395,
    # Meta publishes none. This one is given by projects that downloaded the file independently of each other.
    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    title="DINOv2",
    command="facegen weights dinov2",
)


def _writing(path: Path) -> AbstractContextManager[None]:
    """Raise EnvironmentProblem if ``path`` cannot be written. OSErrors of the network are not affected."""
    return writing_told(f"Cannot write {path}", "Make room there, or name another cache folder by FACEGEN_CACHE.")


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # an unbuffered file may accept less than it is given
        rest = rest[file.write(rest) :]


def _starts_at(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
