"""One request over real sockets: what goes out and where it may go."""

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from urllib3 import HTTPConnectionPool

from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.ads_api.transport import open_pool
from xcapi_dagster.errors import ConfigurationError

TOKEN = PixelToken("canary-pixel-token")
BODY = b'{"conversions":[{"identifiers":[{"user_agent":"canary-in-the-body"}]}]}'


def post(client: AdsApiClient, body: bytes = BODY, sent: int = 1) -> Answer:
    return client.post_conversions(body, request_id="7", sent=sent)


def oauth(header: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


def test_sends_one_signed_request(wire: Any, client: Any) -> None:
    """Method, path, headers and body as X documents them; nothing that says the body is packed or chunked."""
    server = wire.serve(wire.accepting())
    assert post(client(server.url)).kind == "accepted"
    (request,) = server.received
    assert (request.method, request.path, request.body) == ("POST", "/12/measurement/conversions/oka17", BODY)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(BODY))
    assert request.headers["authorization"].startswith("OAuth ")
    assert not request.headers.keys() & {"x-pixel-token", "transfer-encoding", "content-encoding", "expect", "cookie"}


def test_sends_the_pixel_token_instead(wire: Any, client: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """The token's header alone, even when a .netrc has a password for the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = wire.serve(wire.accepting())
    post(client(server.url, TOKEN))
    headers = server.received[0].headers
    assert headers["x-pixel-token"] == "canary-pixel-token"
    assert "authorization" not in headers


def test_every_request_is_signed_anew_on_one_connection(wire: Any, client: Any) -> None:
    """Nonces differ, the connection is kept."""
    server = wire.serve(wire.answering(500, b""), wire.accepting())
    sender = client(server.url)
    assert [post(sender).kind for _ in range(3)] == ["unknown", "accepted", "accepted"]
    assert len({oauth(request.headers["authorization"])["oauth_nonce"] for request in server.received}) == 3
    assert {request.connection for request in server.received} == {1}


def test_a_wrong_clock_can_be_corrected(wire: Any, client: Any) -> None:
    """The answer tells the difference, and later requests are signed as if it were gone."""
    x_now = 1_800_000_600
    refusal = wire.answering(
        401, {"errors": [{"code": 135, "message": "Timestamp out of bounds."}]}, Date=formatdate(x_now)
    )
    refused_credentials = wire.answering(401, b"", Date=formatdate(x_now))
    server = wire.serve(refusal, refused_credentials)
    sender = client(server.url, clock=lambda: 1_800_000_000.0)
    answer = post(sender)
    assert (answer.kind, answer.clock_skew) == ("clock", 600.0)
    sender.correct_clock(answer.clock_skew)
    assert post(sender).kind == "halted"
    times = [oauth(request.headers["authorization"])["oauth_timestamp"] for request in server.received]
    assert times == ["1800000000", "1800000600"]


def test_threads_do_not_share_connections(wire: Any, client: Any) -> None:
    """Eight threads at once send through one client, each on a connection of its own."""
    together = threading.Barrier(8, timeout=50)  # less than the client waits
    answer = wire.accepting()

    def behave(connection: socket.socket) -> None:
        together.wait()
        answer(connection)

    server = wire.serve(behave)
    sender = client(server.url)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(sender), range(8)))
    assert [answer.kind for answer in answers] == ["accepted"] * 8
    assert len({request.connection for request in server.received}) == 8


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("credentials", ["keys", "token"])
def test_no_redirect_is_followed(wire: Any, client: Any, keys: OAuth1, status: int, credentials: str) -> None:
    """The other server gets nothing: no body, no token, not even a connection."""
    other = wire.serve(wire.accepting())
    server = wire.serve(wire.answering(status, b"", Location=f"{other.url}/12/measurement/conversions/oka17"))
    answer = post(client(server.url, keys if credentials == "keys" else TOKEN))
    assert (answer.kind, answer.status) == ("halted", status)
    assert "X_ADS_API_URL" in answer.reason
    assert (other.received, other.connections) == ([], [])


@pytest.mark.parametrize("location", ["http://[", "/elsewhere", "", "ftp://x", "http://\x80\xff"])
def test_a_broken_redirect_is_still_a_redirect(wire: Any, client: Any, location: str) -> None:
    """What stands in Location is not even read."""
    server = wire.serve(
        wire.sending(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\ncontent-length: 0\r\n\r\n".encode())
    )
    assert post(client(server.url)).kind == "halted"


def test_an_address_that_may_not_be_used_is_refused_at_once(client: Any) -> None:
    """Before anything is connected to, and without a word of the credentials."""
    with pytest.raises(ConfigurationError, match="X_ADS_API_URL"):
        client("http://ads-api.x.com")


def test_a_client_prints_without_secrets(client: Any) -> None:
    """Neither the client nor an exception about it shows what it signs with."""
    assert "canary" not in repr(client("https://ads-api.x.com", TOKEN))


def test_a_pool_of_ones_own(wire: Any, client: Any) -> None:
    """The connections come from the factory, once for all threads."""
    made: list[str] = []

    def make(url: str) -> HTTPConnectionPool:
        made.append(url)
        return open_pool(url)

    server = wire.serve(wire.accepting())
    sender = client(server.url, pool_factory=make)
    post(sender)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(post, sender).result()
    assert made == [server.url]
    assert [request.connection for request in server.received] == [1, 1]
