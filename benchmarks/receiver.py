"""Somebody who receives conversions and is quick about it, in a process of its own.

    python -m benchmarks.receiver [--delay SECONDS] [--refuse echoing | silently]

prints its port and then, for each line read, what it received so far. It answers as X documents. Of every request it
checks the signature's presence, the 500 conversions and that each has an identifier, by counting; of every
hundredth it reads the JSON and looks at each conversion. What is wrong with one is refused, so that a fast pipeline
that sends rubbish ends with rejections instead of a good time. All that it takes it keeps, in memory up to a gigabyte,
since X does not write to the disk that the ledger is on; for the line `digest` it reads each conversion and tells the
digest of all.

With ``--refuse`` it takes no order whose number ends in 000 or 500. It echoes the id of the first one in a request, as
X echoes values, or says nothing of it.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from benchmarks.digest import digest_of
from xcapi_dagster.settings import DEMO

_MOST = 500  # as X documents; not the constant of the product, which is to be judged

_MOST_BYTES_IN_MEMORY = 1 << 30
_READ_EVERY = 100
_REFUSED_ID = re.compile(rb'"conversion_id":"(order-[0-9]*[05]00)"')


@dataclass
class Received:
    """What came, and what was wrong with it."""

    requests: int = 0
    conversions: int = 0
    bytes: int = 0
    refused: int = 0
    cpu: float = 0.0  # seconds


class Receiver(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self, received: Received, taken: IO[bytes], delay: float, refusal: str | None) -> None:
        self._received = received
        self._taken = taken
        self._delay = delay
        self._refusal = refusal
        self._parts: list[bytes] = []
        self._length = 0
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole; clients send the next one after that."""
        self._parts.append(data)
        self._length += len(data)
        if not self._needed:
            head, found, _ = b"".join(self._parts).partition(b"\r\n\r\n")
            if not found:
                return
            self._head = head.lower()
            length = self._head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._needed = len(head) + 4 + int(length)
        if self._length >= self._needed:
            request = b"".join(self._parts)
            body = request[len(self._head) + 4 :]
            self._parts, self._length, self._needed = [], 0, 0
            answer = self._answer(body)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _answer(self, body: bytes) -> bytes:
        received = self._received
        received.requests += 1
        received.bytes += len(body)
        count = body.count(b'"conversion_time":')
        parameter, problem = "conversions", self._problem(body, count)
        if self._refusal and (refused := _REFUSED_ID.search(body)):
            parameter, problem = "conversion_id", "Expected another id"
            if self._refusal == "echoing":
                problem += f', got "{refused[1].decode()}" for conversion_id'
        if problem:
            received.refused += count
            return _http(400, {"errors": [{"code": "INVALID_PARAMETER", "message": problem, "parameter": parameter}]})
        received.conversions += count
        self._taken.write(b"%d\n%s" % (len(body), body))
        told = {"conversions_processed": count, "debug_id": f"benchmark-{received.requests}"}
        return _http(200, {"request": {"params": {"account_id": DEMO["account_id"]}}, "data": told})

    def _problem(self, body: bytes, count: int) -> str | None:
        if b"authorization: oauth " not in self._head:
            return "the request is not signed"
        if not 0 < count <= _MOST:
            return f"{count} conversions"
        if body.count(b'"identifiers":[{"') + body.count(b'"identifiers": [{"') != count:
            return "a conversion has no identifier"
        if self._received.requests % _READ_EVERY == 1:
            return problem_of(json.loads(body)["conversions"])
        return None


def problem_of(conversions: list[dict[str, object]]) -> str | None:
    """What X would not take of these conversions, None when nothing is wrong."""
    for conversion in conversions:
        identifiers = conversion.get("identifiers")
        if not isinstance(identifiers, list) or not all(identifiers) or not identifiers:
            return "a conversion has no identifier"
        if not all(isinstance(conversion.get(name), str) for name in ("conversion_time", "event_id", "conversion_id")):
            return "a conversion lacks what it needs"
        if ("value" in conversion) != ("price_currency" in conversion):
            return "a value has no currency"
    return None


def _http(status: int, document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


def conversions_in(taken: IO[bytes]) -> Iterator[Any]:
    """All conversions of the bodies that were taken."""
    taken.seek(0)
    while size := taken.readline():
        yield from json.loads(taken.read(int(size)))["conversions"]


async def serve(delay: float, refusal: str | None, taken: IO[bytes]) -> None:
    """Receive until standard input ends."""
    received = Received()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(received, taken, delay, refusal), "127.0.0.1", 0, backlog=64)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        received.cpu = used.ru_utime + used.ru_stime
        told = asdict(received)
        if line.strip() == "digest":
            told["digest"] = digest_of(conversions_in(taken))
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--refuse", choices=("echoing", "silently"))
    given = parser.parse_args()
    with tempfile.SpooledTemporaryFile(_MOST_BYTES_IN_MEMORY) as file:
        asyncio.run(serve(given.delay, given.refuse, file))
