"""The download, against a server of our own on localhost."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facegen.errors import EnvironmentProblem, InputError
from facegen.locks import sole_use
from facegen.weights.published import Published

CONTENT = bytes(range(256)) * 4096  # 1 MiB: more than one chunk


@dataclass
class Server:
    """What the server sends, how, and what it was asked for."""

    content: bytes = CONTENT
    kind: str = "application/octet-stream"
    ranges: bool = True
    cut: int | None = None  # close the connection after so many bytes
    status: int = 200
    url: str = ""
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            body = state.content[start:]
            self.send_response(206 if start else state.status)
            self.send_header("Content-Type", state.kind)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.end_headers()
            self.wfile.write(body[: state.cut])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/weights.pth"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def published(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("FACEGEN_OFFLINE", raising=False)
    return Published("weights.pth", server.url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def partial(published: Published) -> Path:
    path = published.path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".part")


def test_downloads_what_is_missing_once(server: Server, published: Published) -> None:
    found = published.ensure()
    assert found.right and found.path.read_bytes() == CONTENT
    assert published.ensure() == found
    assert server.asked == [None]


def test_goes_on_from_a_partial_download(server: Server, published: Published) -> None:
    partial(published).write_bytes(CONTENT[:1000])
    assert published.download().path.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_starts_again_where_the_server_ignores_ranges(server: Server, published: Published) -> None:
    server.ranges = False
    partial(published).write_bytes(b"x" * 1000)
    assert published.download().path.read_bytes() == CONTENT


def test_a_broken_off_download_is_refused_and_goes_on_next_time(server: Server, published: Published) -> None:
    server.cut = 500_000
    with pytest.raises(EnvironmentProblem, match="stopped after 500,000 of 1,048,576"):
        published.download()
    assert published.find() is None
    server.cut = None
    assert published.download().path.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=500000-"


def test_wrong_content_is_deleted_and_said(server: Server, published: Published) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(EnvironmentProblem, match=r"the sha256 is .* It was deleted"):
        published.download()
    assert list(published.path.parent.iterdir()) == []


def test_a_wrong_beginning_does_not_spoil_the_next_download(server: Server, published: Published) -> None:
    partial(published).write_bytes(b"x" * 1000)
    with pytest.raises(EnvironmentProblem, match="deleted"):
        published.download()
    assert published.download().path.read_bytes() == CONTENT


def test_a_web_page_is_recognised(server: Server, published: Published) -> None:
    server.kind, server.content = "text/html; charset=utf-8", b"<html>Sign in</html>"
    with pytest.raises(EnvironmentProblem, match="answered with a web page"):
        published.download()
    assert not partial(published).exists()


def test_no_more_is_written_than_was_published(server: Server, published: Published) -> None:
    server.content = CONTENT * 2
    assert published.download().path.read_bytes() == CONTENT


def test_a_server_error_names_the_way_without_a_network(server: Server, published: Published) -> None:
    server.status = 404
    with pytest.raises(EnvironmentProblem, match=r"404.*facegen weights --from weights\.pth"):
        published.download()


def test_no_network_is_an_expected_failure(published: Published) -> None:
    # Port 9 of localhost: nothing listens there.
    with pytest.raises(EnvironmentProblem, match="Cannot download"):
        replace(published, url="http://127.0.0.1:9/weights.pth").download()


def test_offline_is_respected(server: Server, published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_OFFLINE", "1")
    with pytest.raises(EnvironmentProblem, match="FACEGEN_OFFLINE"):
        published.ensure()
    assert server.asked == []


def test_torch_hubs_copy_is_recognised(server: Server, published: Published, tmp_path: Path) -> None:
    copy = tmp_path / "torch" / "hub" / "checkpoints" / published.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    assert published.ensure().path == copy
    assert server.asked == []


def test_a_wrong_installed_file_is_found_wrong(published: Published) -> None:
    path = published.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    found = published.find()
    assert found is not None and found.path == path and not found.right


def test_a_wrong_installed_file_is_replaced_when_it_is_needed(published: Published) -> None:
    path = published.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    assert published.ensure().path.read_bytes() == CONTENT


def test_installs_the_right_file(published: Published, tmp_path: Path) -> None:
    source = tmp_path / "from elsewhere.pth"
    source.write_bytes(CONTENT)
    assert published.install(source).path == published.path
    assert published.path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", b"<html></html>", CONTENT[:-1]])
def test_does_not_install_another_file(published: Published, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "other.pth"
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.pth is not weights\.pth"):
        published.install(source)
    assert not published.path.exists()


def test_a_missing_file_to_install_is_named(published: Published, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth is not a file"):
        published.install(tmp_path / "nowhere.pth")


def test_another_kind_of_file_is_named(published: Published, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(InputError, match=r"is not weights\.pth but an HTML page: 21 bytes"):
        published.install(tmp_path / "weights.pth")


def test_a_cache_folder_that_cannot_be_written_is_no_matter_of_the_network(
    server: Server, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentProblem, match=r"Cannot write .*weights\.pth: Not a directory.*FACEGEN_CACHE"):
        published.download()
    assert server.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_no_matter_of_the_network(published: Published) -> None:
    partial(published).symlink_to("/dev/full")
    with pytest.raises(EnvironmentProblem, match=r"Cannot write .*\.part: No space left on device\. Make room"):
        published.download()


def test_of_two_processes_one_downloads(server: Server, published: Published) -> None:
    found: list[Path] = []
    waiting = threading.Thread(target=lambda: found.append(published.download().path))
    with sole_use(published.path, "downloads it"):
        waiting.start()
        published.path.write_bytes(CONTENT)
    waiting.join(timeout=30)
    assert found == [published.path] and server.asked == []
