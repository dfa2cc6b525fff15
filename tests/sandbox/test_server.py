"""The running sandbox: only for this machine, quick, tidy, and silent about secrets."""

import socket
import threading
import time

import pytest
import requests

from tests.holding import until
from xcapi_dagster.sandbox import DEMO_PIXEL_TOKEN, Limits, Sandbox, http_server, serve

PATH = "/12/measurement/conversions/oka17"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_only_loopback(host):
    """The sandbox refuses to listen for other machines."""
    with pytest.raises(ValueError, match="127"):
        Sandbox(host=host).__enter__()


def test_localhost(row):
    """The name localhost is as good as the number."""
    with Sandbox(host="localhost") as sandbox:
        assert sandbox.url.startswith("http://localhost:")
        assert requests.get(sandbox.url, timeout=10).status_code == 200


def test_taken_port(sandbox):
    """A port that is taken is an OSError, at once."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=int(sandbox.url.rpartition(":")[2])).__enter__()


def test_log(start, row):
    """One line per request, with method, path, status and conversions; no query, header, body or control character."""
    lines: list[str] = []
    sandbox, client = start(log=lines.append)
    client.send(row(conversion_id="A-1"))
    client.send(row(value=20), path=PATH + "?secret=1")
    sandbox.script([{"match": {"next": 1}, "do": {"drop": "after"}}])
    with pytest.raises(requests.ConnectionError):
        client.send(row(), row())
    with socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(b"GET /\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(1)

    assert lines == [
        f"POST {PATH} 200 1 conversions",
        f"POST {PATH} 400 1 conversions",
        f"POST {PATH} dropped 2 conversions",
        "GET /\\x1b[31m 404 0 conversions",
    ]


def test_nothing_is_left_behind(row, monkeypatch):
    """At the end of the block no thread is left and the port is free, at once, whatever the clients are doing."""
    monkeypatch.setattr(http_server, "_PATIENCE_SECONDS", 60.0)  # beside which any other work is "at once"
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        sandbox.script([{"match": {"next": 1}, "do": {"delay": 60}}])
        waiting = threading.Thread(target=send_quietly, args=(sandbox.url, row()))
        waiting.start()
        until(lambda: not sandbox._api.script._armed[0].left)  # it waits at the server
        idle = socket.create_connection(("127.0.0.1", port))
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        requests.get(sandbox.url, timeout=10)
        started = time.monotonic()
    took = time.monotonic() - started
    waiting.join(10)
    idle.close()
    half.close()

    assert took < 30
    assert set(threading.enumerate()) <= before
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def send_quietly(url: str, conversion: dict) -> None:
    try:
        requests.post(url + PATH, json={"conversions": [conversion]}, timeout=60)
    except requests.ConnectionError:
        return


def test_serve_until_stopped():
    """`serve` tells its URL, answers, and returns when it is stopped."""
    urls: list[str] = []
    is_ready, stop = threading.Event(), threading.Event()

    def ready(url: str) -> None:
        urls.append(url)
        is_ready.set()

    server = threading.Thread(target=serve, args=("127.0.0.1", 0), kwargs={"ready": ready, "stop": stop})
    server.start()
    assert is_ready.wait(10)
    assert requests.get(urls[0], timeout=10).status_code == 200
    stop.set()
    server.join(10)
    assert not server.is_alive()


def test_many_senders(row):
    """Several clients at once get all their answers, none is lost or stored twice, and it takes little work."""
    with Sandbox(limits=Limits(events=10**6, requests=10**6)) as sandbox:
        senders = [threading.Thread(target=send_batches, args=(sandbox.url, row, name)) for name in "abcd"]
        started = time.process_time()  # which others on this machine do not use up
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        took = time.process_time() - started

    ids = {each.conversion["conversion_id"] for each in sandbox.received}
    assert (len(sandbox.received), len(ids), sandbox.deduplicated) == (10_000, 10_000, 10_000)
    assert [request.number for request in sandbox.requests] == list(range(1, 21))
    assert took < 10  # at the very least a thousand conversions in a second, on a slow machine


def send_batches(url: str, row, name: str) -> None:
    with requests.Session() as session:
        session.headers["X-Pixel-Token"] = DEMO_PIXEL_TOKEN
        for batch in range(5):
            rows = [row(event_id="opurch1", conversion_id=f"{name}{batch}-{number}") for number in range(500)]
            answer = session.post(f"{url}/12/measurement/conversions/odemo1", json={"conversions": rows}, timeout=30)
            assert answer.json()["data"]["conversions_processed"] == 500
