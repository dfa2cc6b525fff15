"""What can be proven when no answer comes: nothing was sent, or nobody knows."""

import gzip
import json
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from tests.impatience import impatient_once
from tests.ports import reserved_port
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.connection import MAX_ANSWER_BYTES
from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.errors import ConfigurationError

BODY = b'{"conversions":[{"identifiers":[{"user_agent":"canary-in-the-body"}]}]}'


def post(client: AdsApiClient, body: bytes = BODY, sent: int = 1) -> Answer:
    return client.post_conversions(body, request_id="7", sent=sent)


# Unsent: nothing below can have reached X


def test_a_closed_port_is_not_sent(client: Any) -> None:
    """A refused connection proves that nothing was sent."""
    with reserved_port() as port:
        answer = post(client(f"http://127.0.0.1:{port}"))
    assert (answer.kind, answer.status) == ("not_sent", None)
    assert "refuses connections" in answer.reason


def test_an_unresolvable_host_is_not_sent(client: Any) -> None:
    """`.invalid` never resolves (RFC 2606)."""
    answer = post(client("https://ads-api.invalid"))
    assert answer.kind == "not_sent"
    assert "DNS" in answer.reason


def test_a_label_that_no_resolver_takes_is_refused_at_once(client: Any) -> None:
    """Libraries have errors of their own for it, one before and one behind a proxy."""
    with pytest.raises(ConfigurationError, match="X_ADS_API_URL"):
        client(f"https://{'a' * 64}.invalid")


def test_a_host_that_speaks_no_tls_is_not_sent(client: Any) -> None:
    """The handshake comes before the request."""
    got: list[bytes] = []

    def serve() -> None:
        connection, _ = plain.accept()
        with connection, suppress(ConnectionResetError):
            got.append(connection.recv(100_000))
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            got.append(connection.recv(100_000))

    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=serve)
        thread.start()
        answer = post(client(f"https://127.0.0.1:{plain.getsockname()[1]}"))
        thread.join(10)
    assert answer.kind == "not_sent"
    assert "TLS handshake" in answer.reason
    assert BODY not in b"".join(got)


def test_a_host_that_ends_the_handshake_never_is_not_sent(wire: Any, client: Any) -> None:
    """To requests this is a read timeout, as if an answer had been waited for."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        answer = post(client(f"https://127.0.0.1:{deaf.getsockname()[1]}", timeout=(0.2, 0.2)))
    assert answer.kind == "not_sent"


def test_an_untrusted_certificate_is_not_sent(wire: Any, client: Any, untrusted: Any) -> None:
    """Verification cannot be turned off."""
    context, _ = untrusted
    server = wire.serve(wire.accepting(), tls=context)
    answer = post(client(server.url))
    assert answer.kind == "not_sent"
    assert "certificate is not trusted" in answer.reason
    assert server.received == []


def test_a_certificate_can_be_trusted_through_the_environment(
    wire: Any, client: Any, untrusted: Any, monkeypatch: Any
) -> None:
    """REQUESTS_CA_BUNDLE works as everywhere, and a missing file is named as such."""
    context, certificate = untrusted
    server = wire.serve(wire.accepting(), tls=context)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert post(client(server.url)).kind == "accepted"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/absent/bundle.pem")
    answer = post(client(server.url))
    assert answer.kind == "not_sent"
    assert "REQUESTS_CA_BUNDLE" in answer.reason
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)  # there, and no certificate
    answer = post(client(server.url))
    assert answer.kind == "not_sent"
    assert "REQUESTS_CA_BUNDLE" in answer.reason


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_is_not_sent(wire: Any, client: Any, monkeypatch: Any, status: int) -> None:
    """A proxy is asked for the way before anything is sent on it."""
    proxy = wire.serve(wire.answering(status, b""))
    monkeypatch.setenv("https_proxy", proxy.url)
    answer = post(client("https://ads-api.x.com"))
    assert answer.kind == "not_sent"
    assert "HTTPS_PROXY" in answer.reason
    assert [(request.method, request.path) for request in proxy.received] == [("CONNECT", "ads-api.x.com:443")]


@pytest.mark.parametrize("proxy", ["http://", "socks5://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_named(client: Any, monkeypatch: Any, proxy: str) -> None:
    """An address without a host, and SOCKS, which needs a package that this one does not bring."""
    monkeypatch.setenv("https_proxy", proxy)
    answer = post(client("https://ads-api.x.com"))
    assert answer.kind == "not_sent"
    assert "HTTPS_PROXY" in answer.reason


def test_no_proxy_sees_what_goes_to_this_machine(wire: Any, client: Any, monkeypatch: Any) -> None:
    """A proxy's loopback is another machine's, and the request is not encrypted."""
    proxy, server = wire.serve(wire.answering(502)), wire.serve(wire.accepting())
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert post(client(server.url)).kind == "accepted"
    assert proxy.connections == []


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_an_answer_that_a_gateway_compressed_is_read(wire: Any, client: Any, framing: str) -> None:
    """Though nobody asked for it: else each request on that way would be in doubt."""
    document = {"request": {}, "data": {"conversions_processed": 1, "debug_id": "ff02e052-36e4-47d6-bdf0-6d8986446562"}}
    content = gzip.compress(json.dumps(document).encode())
    how, body = b"content-length: %d" % len(content), content
    if framing == "chunked":
        how, body = b"transfer-encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n" + how + b"\r\n\r\n"
    assert post(client(wire.serve(wire.sending(head + body)).url)).kind == "accepted"


# Unknown: X may have processed what it got


def test_silence_is_unknown(wire: Any, client: Any) -> None:
    """The request arrived, and no answer did in time."""
    server = wire.silent()
    answer = post(client(server.url, pool_factory=impatient_once(server.is_silent)))
    assert (answer.kind, answer.status) == ("unknown", None)
    assert "in time" in answer.reason
    assert [request.body for request in server.received] == [BODY]


@pytest.mark.parametrize("at_once", [0, 17, 47], ids=["headers", "header", "body"])
@pytest.mark.parametrize("has_tls", [False, True])
def test_an_answer_in_drips_is_unknown(
    wire: Any, client: Any, untrusted: Any, monkeypatch: Any, at_once: int, *, has_tls: bool
) -> None:
    """Each byte comes in time, and all of them together do not."""
    content = b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + b'{"data":'.ljust(200)

    def dripping(connection: socket.socket) -> None:
        connection.sendall(content[:at_once])
        for byte in content[at_once:]:
            time.sleep(0.05)
            connection.sendall(bytes([byte]))

    context, certificate = untrusted
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = wire.serve(dripping, tls=context if has_tls else None)
    answer = post(client(server.url, timeout=(2.0, 0.5)))
    assert (answer.kind, answer.status) == ("unknown", None)
    assert "in time" in answer.reason


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b'{"data":',
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 400 Bad\r\ncontent-length: 500\r\n\r\n" + b'{"errors":',
        b"220 smtp.example.com ready\r\n",
        b"\x16\x03\x01",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
def test_half_an_answer_is_unknown(wire: Any, client: Any, content: bytes) -> None:
    """Cut off, garbled, or not HTTP: the request was there."""
    server = wire.serve(wire.sending(content, then_close=True))
    answer = post(client(server.url))
    assert answer.kind == "unknown"
    assert "not known" in answer.reason
    assert [request.body for request in server.received] == [BODY]


@pytest.mark.parametrize(("status", "kind"), [(401, "halted"), (403, "halted"), (413, "too_large"), (429, "throttled")])
@pytest.mark.parametrize(
    "body", [b"content-length: 9\r\n\r\n{", b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"]
)
def test_half_a_refusal_is_one_where_its_status_says_all(
    wire: Any, client: Any, status: int, kind: str, body: bytes
) -> None:
    """X took nothing, whatever else it would have said: to send again at once would be against what it asks."""
    content = b"HTTP/1.1 %d Refused\r\nretry-after: 7\r\n" % status + body
    answer = post(client(wire.serve(wire.sending(content, then_close=True)).url))
    assert (answer.kind, answer.status, answer.retry_after) == (kind, status, 7.0)


def test_a_reset_is_unknown(wire: Any, client: Any) -> None:
    """The connection broke after the request was read."""
    server = wire.serve(wire.resetting)
    assert post(client(server.url)).kind == "unknown"
    assert len(server.received) == 1


def test_a_connection_that_dies_is_not_used_to_send_again(wire: Any, client: Any) -> None:
    """A kept connection that breaks under the second request: one copy of it, unknown, and a third one anew."""
    server = wire.serve(wire.accepting(), wire.resetting, wire.accepting())
    sender = client(server.url)
    assert [post(sender).kind for _ in range(3)] == ["accepted", "unknown", "accepted"]
    assert [request.connection for request in server.received] == [1, 1, 2]


def test_a_connection_that_was_closed_in_between_is_replaced(wire: Any, client: Any) -> None:
    """An idle connection that the server has closed is noticed before anything is sent on it."""
    is_closed = threading.Event()

    def answer_and_close(connection: socket.socket) -> None:
        wire.sending(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", then_close=True)(connection)
        is_closed.set()

    server = wire.serve(answer_and_close)
    sender = client(server.url)
    post(sender)
    assert is_closed.wait(30)
    post(sender)
    assert [request.connection for request in server.received] == [1, 2]


def test_an_answer_that_is_still_to_come_is_not_taken_for_that_to_another_request(wire: Any, client: Any) -> None:
    """After a status that announces one, as 103 does, it is unknown, and the connection is not used again."""

    def announcing(connection: socket.socket) -> None:
        wire.sending(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")(connection)
        time.sleep(0.2)
        wire.accepting()(connection)

    server = wire.serve(announcing, wire.answering(401))
    sender = client(server.url)
    assert [post(sender).kind, post(sender).kind] == ["unknown", "halted"]
    assert [request.connection for request in server.received] == [1, 2]


def test_an_endless_answer_is_unknown(wire: Any, client: Any) -> None:
    """No more is read than an answer of X's can have."""
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    sent = []

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(piece)
            sent.append(len(piece))

    answer = post(client(wire.serve(flood).url))
    assert (answer.kind, answer.status) == ("unknown", 400)
    assert sum(sent) < 4 * MAX_ANSWER_BYTES


def test_a_large_body_arrives_whole(wire: Any, client: Any) -> None:
    """Four million bytes, the most that one request has."""
    server = wire.serve(wire.accepting(500))
    body = os.urandom(4_000_000)
    assert post(client(server.url), body, sent=500).kind == "accepted"
    assert server.received[0].body == body


def test_an_answer_before_the_body_was_read_is_heard(wire: Any, client: Any) -> None:
    """A gateway answers 413 without reading on."""
    early = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = early.accept()
        with connection, suppress(ConnectionResetError):
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            while connection.recv(1_000_000):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    with early:
        assert post(client(f"http://127.0.0.1:{early.getsockname()[1]}"), b"x" * 4_000_000).kind == "too_large"
        thread.join(10)
