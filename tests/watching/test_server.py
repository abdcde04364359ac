"""The page that is served: to whom, what of, and that it keeps up with its runs."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facegen.errors import EnvironmentProblem
from facegen.watching import server as server_module
from facegen.watching.server import Runs, WatchServer, open_server


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run()


@pytest.fixture
def server(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchServer]:
    monkeypatch.setattr(server_module, "_FRESH", 0.0)
    with WatchServer(Runs([run]), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: WatchServer, path: str, host: str | None = "localhost:9000", method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_the_page_its_data_and_its_grids(server: WatchServer, run: Path) -> None:
    response, page = ask(server, "/")
    assert response.status == 200 and b"<title>facegen watch</title>" in page and b'id="data"' not in page
    (shown,) = json.loads(ask(server, "/data.json")[1])["runs"]
    assert (shown["name"], shown["kimg"], shown["target"], shown["best"]) == ("run", 20.0, 20.0, [20.0, 5.0])
    assert [kimg for kimg, _ in shown["grids"]] == [10.0, 20.0]
    response, picture = ask(server, f"/{shown['grids'][1][1]}")
    assert response.getheader("Content-Type") == "image/png"
    assert picture == (run / "samples" / "kimg-000020.000.png").read_bytes()


def test_what_is_new_is_shown(server: WatchServer, run: Path) -> None:
    ask(server, "/data.json")
    with (run / "log.jsonl").open("a") as file:
        file.write('{"kimg": 21.0}\n')
    assert json.loads(ask(server, "/data.json")[1])["runs"][0]["kimg"] == 21.0


def test_a_run_that_goes_is_said(server: WatchServer, run: Path) -> None:
    run.rename(run.with_name("elsewhere"))
    (shown,) = json.loads(ask(server, "/data.json")[1])["runs"]
    assert shown["name"] == "run" and shown["problem"].startswith("There is no run")


def test_it_listens_to_this_machine_alone(server: WatchServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1" and server.address == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8600", "[::1]:80"])
def test_this_machines_names_are_known(server: WatchServer, host: str) -> None:
    assert ask(server, "/data.json", host)[0].status == 200


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil:80", "localhost:x"]
)
@pytest.mark.parametrize("path", ["/", "/data.json", "/grids/0/000020.000.png"])
def test_another_name_than_this_machines_is_refused(server: WatchServer, host: str | None, path: str) -> None:
    response, body = ask(server, path, host)
    assert response.status == 403 and b"run" not in body.replace(b"that it runs on", b"")


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/data.json/", "/log.jsonl", "/recipe.toml", "/grids/0/", "/grids/1/000020.000.png"),
        *("/grids/0/000030.000.png", "/grids/-1/000020.000.png", "/grids/0/../../recipe.toml", "/../log.jsonl"),
        *("/grids/0/%2e%2e/%2e%2e/recipe.toml", "/grids/0/..%2f..%2frecipe.toml", "/grids/0//etc/passwd.png"),
        *("/grids/0/000020.000.png%00", "/grids/99999/000020.000.png", "http://localhost/data.json"),
    ],
)
def test_what_is_not_the_pages_is_not_found(server: WatchServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_nothing_but_reading_is_answered(server: WatchServer, method: str) -> None:
    assert ask(server, "/", method=method)[0].status == 501


def test_a_head_has_no_body(server: WatchServer) -> None:
    response, body = ask(server, "/", method="HEAD")
    assert response.status == 200 and body == b"" and int(response.getheader("Content-Length") or 0) > 1000


@pytest.mark.parametrize(
    ("path", "host", "method"),
    [("/", "localhost", "GET"), ("/x", "localhost", "GET"), ("/", "evil", "GET"), ("/", "localhost", "POST")],
)
def test_what_every_answer_says(server: WatchServer, path: str, host: str, method: str) -> None:
    response, _ = ask(server, path, host, method)
    policy = response.getheader("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; ") and "'unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert "Python" not in (response.getheader("Server") or "")


def test_nothing_is_written(server: WatchServer, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.parent.rglob("*")}
    for path in ("/", "/data.json", "/grids/0/000020.000.png"):
        ask(server, path)
    assert {path: path.stat().st_mtime_ns for path in run.parent.rglob("*")} == before


def test_a_port_that_is_taken(server: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentProblem, match=rf"Port {server.server_port} is in use.*--port"):
        open_server(server.runs, server.server_port)
    monkeypatch.setattr(server_module, "PORT", server.server_port)
    with open_server(server.runs, None) as other:
        assert other.server_port != server.server_port
