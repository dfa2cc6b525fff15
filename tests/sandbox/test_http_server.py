"""The sandbox's HTTP: names, connections, bodies, and what is no HTTP at all."""

import http.client
import json
import re
import socket
import struct
import threading
import time

import pytest
import requests

from tests.holding import holding, until
from xcapi_dagster.sandbox import Match, Sandbox
from xcapi_dagster.sandbox.http_server import LoopbackServer

PATH = "/12/measurement/conversions/oka17"
HEADERS = {"X-Pixel-Token": "token-of-oka17", "Content-Type": "application/json"}


def connect(sandbox: Sandbox) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2])), timeout=10)


def raw(sandbox: Sandbox, text: bytes) -> bytes:
    """What the server sends back for these bytes, until it closes the connection."""
    with connect(sandbox) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example", ""])
def test_foreign_host_names(client, sandbox, row, host):
    """A name that was bent to this machine gets nothing, neither the pages nor the API."""
    page = requests.get(client.url, headers={"Host": host}, timeout=10)
    posted = client.send(row(), auth=None, headers={"Host": host})

    assert (page.status_code, posted.status_code) == (421, 421)
    assert sandbox.requests == []


def test_connections_stay_open(sandbox):
    """Many requests may use one connection, also after a refusal; the body is read either way."""
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("POST", PATH, body=b"no json", headers=HEADERS)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 400
        assert connection.sock is first
    connection.close()


def test_case_94_large_bodies(start, row):
    """A body above 5 MiB gets 413, though the client is still sending; one below is read."""
    sandbox, client = start()
    headers = HEADERS
    large = json.dumps({"conversions": [row(description="x" * (5 * 1024 * 1024))]}).encode()
    small = json.dumps({"conversions": [row(description="x" * (4 * 1024 * 1024))]}).encode()

    assert client.post(None, data=large, headers=headers, auth=None).status_code == 413
    assert client.post(None, data=small, headers=headers, auth=None).status_code == 200
    assert len(sandbox.received) == 1


def test_case_94_smaller_limit(start, row):
    """The limit can be set, so that a client may be seen halving its batches."""
    _, client = start(max_body_bytes=200)

    assert client.send(row()).status_code == 200
    assert client.send(row(), row()).status_code == 413


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param({"headers": HEADERS | {"Content-Type": "text/plain"}}, 415, id="text"),
        pytest.param({"headers": HEADERS | {"Content-Encoding": "gzip"}}, 415, id="packed"),
        pytest.param({"headers": HEADERS | {"Content-Type": "application/json; charset=utf-8"}}, 200, id="charset"),
        pytest.param({"headers": HEADERS, "data": iter([b"{}"])}, 411, id="chunked"),
    ],
)
def test_other_bodies(client, row, options, status):
    """Guess: a body must be plain JSON of a known length."""
    body = json.dumps({"conversions": [row()]})

    assert client.post(None, auth=None, **({"data": body} | options)).status_code == status


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost:99999\r\nContent-Length: 0\r\n\r\n",
        b"GET http://attacker.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_broken_http(sandbox, text, capfd):
    """Broken HTTP is refused or ignored, nothing is received, and the server goes on in silence."""
    answer = raw(sandbox, text)

    assert answer == b"" or re.match(rb"HTTP/1\.1 (4\d\d|501)|<!DOCTYPE", answer)
    assert sandbox.received == []
    assert requests.get(sandbox.url, timeout=10).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_cut_off_body(sandbox):
    """A request whose body ends too early is none."""
    answer = raw(sandbox, f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{}}".encode())

    assert (answer, sandbox.requests) == (b"", [])


def test_body_of_two_lengths(sandbox):
    """A request that gives its length in two ways is refused."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert raw(sandbox, head.encode() + b"{}").startswith(b"HTTP/1.1 411 ")
    assert sandbox.requests == []


def test_client_that_goes_away(client, sandbox, row, capfd):
    """A client that goes away before its answer is nobody's fault: nothing is printed, all goes on."""
    body = json.dumps({"conversions": [row()]}).encode()
    with holding(sandbox, Match(next=1)) as first, connect(sandbox) as connection:
        connection.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-Pixel-Token: token-of-oka17\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert first.came.wait(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset

    until(lambda: sandbox.requests)
    assert client.send(row()).status_code == 200
    assert [request.status for request in sandbox.requests] == [200, 200]
    assert capfd.readouterr() == ("", "")


def test_a_bug_is_reported(capfd):
    """An exception in the sandbox itself is printed, and its connection ends without an answer."""

    def broken(request: object) -> None:
        raise ZeroDivisionError("a bug")

    server = LoopbackServer(("127.0.0.1", 0), broken, time.time, max_body_bytes=100)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{server.port}", timeout=10)
    server.shutdown()
    server.close()
    thread.join()

    assert "ZeroDivisionError: a bug" in capfd.readouterr().err
