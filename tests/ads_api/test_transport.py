"""What the logs hold of a request, with every logger at DEBUG."""

import io
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from xcapi_dagster.ads_api.auth import Credentials, OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.ads_api.transport import open_pool

TOKEN = PixelToken("canary-pixel-token")
DEBUG_ID = "ff02e052-36e4-47d6-bdf0-6d8986446562"  # X's example
BODY = b'{"conversions":[{"identifiers":[{"user_agent":"canary-in-the-body"}]}]}'


def post(client: AdsApiClient, body: bytes = BODY, sent: int = 1) -> Answer:
    return client.post_conversions(body, request_id="7", sent=sent)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that any logger says, with DEBUG set wherever it can be."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    names = [name for name in logging.root.manager.loggerDict if "urllib3" in name]
    levels = {logger: logger.level for logger in (logging.root, *map(logging.getLogger, names))}
    logging.root.addHandler(handler)
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    yield stream
    logging.root.removeHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.mark.parametrize("credentials", ["keys", "token"])
def test_no_key_and_no_body_is_logged(wire: Any, client: Any, keys: OAuth1, log: io.StringIO, credentials: str) -> None:
    """One line for each request, whatever its end, and neither secrets nor bodies at any level."""
    echo = {"errors": [{"code": "X", "message": "canary-in-the-answer", "parameter": "value"}]}
    server = wire.serve(wire.accepting(), wire.answering(400, echo), wire.resetting)
    chosen: Credentials = keys if credentials == "keys" else TOKEN
    sender = client(server.url, chosen)
    for _ in range(3):
        post(sender)
    post(client("https://ads-api.invalid", chosen))
    lines = log.getvalue().splitlines()
    assert [re.sub(r"\d+ ms", "0 ms", line) for line in lines] == [
        f"request 7: 1 conversions, {len(BODY)} bytes, status 200 (accepted), 0 ms, debug id {DEBUG_ID}",
        f"request 7: 1 conversions, {len(BODY)} bytes, status 400 (refused), 0 ms, debug id None",
        f"request 7: 1 conversions, {len(BODY)} bytes, status None (unknown), 0 ms, debug id None",
        f"request 7: 1 conversions, {len(BODY)} bytes, status None (not_sent), 0 ms, debug id None",
    ]


def test_the_library_would_have_logged_more(wire: Any, client: Any, keys: OAuth1, log: io.StringIO) -> None:
    """What the test above guards against is real: a logger without the filter prints whom a request was for."""
    sender = client(wire.serve(wire.accepting()).url, keys)
    post(sender)
    muted = logging.getLogger("urllib3.connectionpool")
    filters = list(muted.filters)
    muted.filters.clear()
    try:
        post(sender)
    finally:
        muted.filters[:] = filters
    assert log.getvalue().count("/measurement/conversions/") == 1


def test_headers_that_cannot_be_read_are_not_logged(wire: Any, client: Any, log: io.StringIO) -> None:
    """The library would print them, with the address and a traceback, for each request of a run."""
    broken = b"HTTP/1.1 429 Whatever\r\nno colon: canary\r\nset-cookie canary\r\ncontent-length: 0\r\n\r\n"
    assert post(client(wire.serve(wire.sending(broken, then_close=True)).url)).kind == "throttled"
    assert "canary" not in log.getvalue()
    assert len(log.getvalue().splitlines()) == 1


def test_warnings_of_the_libraries_are_kept(log: io.StringIO) -> None:
    """Only what is below WARNING is dropped."""
    open_pool("https://ads-api.x.com").close()
    logging.getLogger("urllib3.connectionpool").warning("the pool is full")
    assert log.getvalue() == "the pool is full\n"
