"""Published weights: where they are, whether they are right, and how they get there.

facegen keeps its copy in the cache folder, and recognises the one that another program left in torch hub's, as
pytorch-fid does with Inception's, so that nobody downloads a file twice.
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
    """A file as it was published.

    Attributes:
        name: of the file.
        url: its address.
        size: its length in bytes.
        sha256: of its bytes.
        title: of the network, in sentences.
        command: what installs it.
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
        """Where facegen keeps the file."""
        return cache_folder() / "weights" / self.name

    @property
    def source(self) -> str:
        """Its address."""
        return self.url

    @property
    def reinstall(self) -> str:
        """What to do about a wrong file, a sentence."""
        return f"Delete it and run: {self.command}"

    def find(self) -> Installed | None:
        """The installed file, a right one before a wrong one; None where there is none. Reads the whole file."""
        wrong = None
        for path in (self.path, self._torch_hub_path()):
            if path.is_file():
                # A wrong length tells without reading it all, but the hash is what the user is shown.
                sha256 = sha256_file(path)
                if sha256 == self.sha256:
                    return Installed(path, sha256, right=True)
                wrong = wrong or Installed(path, sha256, right=False)
        return wrong

    def install(self, source: Path) -> Installed:
        """Copy ``source`` to where facegen keeps the file. InputError when it is another file by its sha256."""
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
        """The right file: the installed one, or downloaded now. EnvironmentProblem where neither is possible."""
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
        """Download the file to where facegen keeps it, going on from a partial download where the server allows it.

        The file takes its name only when its sha256 is right. A broken-off download leaves ``NAME.part``, from which
        the next one goes on; a complete one with a wrong sha256 is deleted. Of two processes one downloads, and the
        other waits for its file.

        Raises:
            EnvironmentProblem: no network, a server that sends something else, an incomplete or wrong file, or a cache
                folder that cannot be written to.
        """
        target = self.path
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with sole_use(target, f"downloads {self.name}", wait=True):
            if target.is_file() and sha256_file(target) == self.sha256:  # by the one that was waited for
                return Installed(target, self.sha256, right=True)
            return self._download()

    def _download(self) -> Installed:
        import urllib.error  # late, for they are not quick
        from http.client import HTTPException

        target = self.path
        partial = target.with_name(f"{target.name}.part")
        console.info(f"Downloading {self.name} ({self.size / 1e6:.0f} MB) from {self.url}.")
        try:
            self._fetch(partial)
        except (OSError, HTTPException) as problem:
            # An HTTPError is a URLError too, but says more by itself ("HTTP Error 404: Not Found").
            reason = problem.reason if type(problem) is urllib.error.URLError else problem
            raise EnvironmentProblem(
                f"Cannot download {self.url}: {reason or type(problem).__name__}.", self._by_hand()
            ) from problem
        if (size := partial.stat().st_size) < self.size:
            raise EnvironmentProblem(
                f"The download of {self.name} broke off after {size:,} of {self.size:,} bytes.",
                f"Run '{self.command}' again to go on, or: {self._by_hand()}",
            )
        sha256 = sha256_file(partial)
        if sha256 != self.sha256:
            partial.unlink()
            raise EnvironmentProblem(
                f"What {self.url} sent is not {self.name}: its sha256 is {sha256}, not {self.sha256}. It was deleted.",
                self._by_hand(),
            )
        with _writing(target):
            partial.replace(target)
        return Installed(target, sha256, right=True)

    def _fetch(self, partial: Path) -> None:
        """Add to ``partial`` what it lacks. Stops at the published length: nobody fills the disk by sending more."""
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
                console.detail("The server does not go on from a partial download: starting again.")
            with _writing(partial):
                file = partial.open("ab" if resumed else "wb", buffering=0)  # what cannot be written is told at once
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
        """Where pytorch-fid keeps the file: torch hub's folder, found as torch finds it but without importing torch."""
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - no home is no error here
        home = os.environ.get("TORCH_HOME") or Path(cache) / "torch"
        return Path(home) / "hub" / "checkpoints" / self.name

    def _by_hand(self) -> str:
        return f"On a machine without a network, fetch {self.url} elsewhere and run: {self.command} --from {self.name}"


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
    # Meta gives none. Projects that downloaded the file independently of each other tell this one.
    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    title="DINOv2",
    command="facegen weights dinov2",
)


def _writing(path: Path) -> AbstractContextManager[None]:
    """EnvironmentProblem where ``path`` cannot be written; an OSError of the network is another matter."""
    return writing_told(f"Cannot write {path}", "Make room there, or name another cache folder by FACEGEN_CACHE.")


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # a file without a buffer may take less than it is given
        rest = rest[file.write(rest) :]


def _starts_at(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
