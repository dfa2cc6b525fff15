"""A server on 127.0.0.1 that does to each request what a test tells it to, down to the socket."""

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import self_signed
from xcapi_dagster.ads_api.auth import Credentials, OAuth1
from xcapi_dagster.ads_api.client import AdsApiClient

Behavior = Callable[[socket.socket], None]

ACCOUNT = "18ce552mlaq"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Received:
    """One request as it arrived; ``connection`` counts the connections."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


def answering(status: int = 200, body: bytes | Any = b"", **headers: str) -> Behavior:
    """Answer with ``body`` (JSON unless bytes) and keep the connection; `retry_after` becomes `retry-after`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return sending("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


def sending(content: bytes, *, then_close: bool = False) -> Behavior:
    """Send exactly these bytes."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(content)
        if then_close:
            closing(connection)

    return behave


def closing(connection: socket.socket) -> None:
    """Close the connection in good order."""
    connection.shutdown(socket.SHUT_RDWR)


def resetting(connection: socket.socket) -> None:
    """Break the connection: the client gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # at once, although it is being read as a file


@dataclass
class Server:
    """Does the n-th of ``behaviors`` to the n-th request, and the last one to all that follow."""

    behaviors: tuple[Behavior, ...]
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    is_silent: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def silence(self, _connection: socket.socket) -> None:
        """Answer nothing until the test is over."""
        self.is_silent.set()
        self.released.wait()

    def close(self) -> None:
        self.released.set()
        self._socket.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            arguments = (connection, len(self.connections))
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
            stream = connection.makefile("rb")
            while request := _read(stream, number):
                with self._lock:
                    self.received.append(request)
                    behave = self.behaviors[min(len(self.received), len(self.behaviors)) - 1]
                behave(connection)
        except OSError:
            return


def _read(stream: Any, connection: int) -> Received | None:
    first = stream.readline().decode("latin-1").split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Received(first[0], first[1], headers, stream.read(int(headers.get("content-length", 0))), connection)


class Wire:
    """Makes servers, and the behaviors to make them of."""

    answering = staticmethod(answering)
    sending = staticmethod(sending)
    closing = staticmethod(closing)
    resetting = staticmethod(resetting)

    @staticmethod
    def accepting(processed: int = 1) -> Behavior:
        """Answer as X does when it has taken ``processed`` conversions."""
        data = {"conversions_processed": processed, "debug_id": "ff02e052-36e4-47d6-bdf0-6d8986446562"}
        return answering(200, {"request": {"params": {"account_id": ACCOUNT}}, "data": data})

    def __init__(self) -> None:
        self._servers: list[Server] = []

    def serve(self, *behaviors: Behavior, tls: ssl.SSLContext | None = None) -> Server:
        self._servers.append(Server(behaviors, tls))
        return self._servers[-1]

    def silent(self) -> Server:
        """A server that takes requests and answers none."""
        server = self.serve(closing)
        server.behaviors = (server.silence,)
        return server

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Servers that are gone after the test."""
    made = Wire()
    yield made
    made.close()


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """TLS for 127.0.0.1 with a certificate that nobody has signed, and that certificate."""
    return self_signed("127.0.0.1", tmp_path_factory.mktemp("tls"))


@pytest.fixture
def keys() -> OAuth1:
    """Four values that belong to nobody."""
    return OAuth1("a-consumer-key", "a-consumer-secret", "an-access-token", "an-access-token-secret")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, .netrc or certificates of the machine that runs the tests."""
    for name in (*PROXIES, *map(str.upper, PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))


@pytest.fixture
def client(keys: OAuth1) -> Callable[..., AdsApiClient]:
    """A factory of clients of pixel oka17, as patient as the product is unless a test says otherwise."""

    def make(url: str, credentials: Credentials = keys, **options: Any) -> AdsApiClient:
        options = {"account_id": ACCOUNT} | options
        return AdsApiClient(url, "12", "oka17", credentials, **options)

    return make
