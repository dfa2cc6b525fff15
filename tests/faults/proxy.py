"""A proxy on 127.0.0.1 that breaks connections, down to the byte: what networks do between a client and X."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HOLD_LAST_SEGMENT = socket.TCP_CORK if sys.platform == "linux" else 4  # TCP_NOPUSH of macOS, which has no name here


@dataclass
class Exchange:
    """One request on its way: what the client has sent so far, and the two ends."""

    client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    upstream: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    head: bytes
    lost: threading.Event

    async def request(self) -> bytes:
        """The whole request."""
        return self.head + await self.client.readexactly(_length(self.head))

    async def answer(self) -> bytes:
        """X's whole answer to the whole request."""
        request = await self.request()
        reader, writer = await self.upstream()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(_length(head))

    def reset(self) -> None:
        """Break the client's connection: it gets a reset."""
        linger = struct.pack("ii", 1, 0)
        self.to_client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.to_client.transport.abort()

    async def lose(self) -> None:
        """Let nothing more come of it."""
        self.lost.set()
        await asyncio.sleep(3600)


Fault = Callable[[Exchange], Coroutine[Any, Any, None]]


async def passes(exchange: Exchange) -> None:
    """Nothing is wrong."""
    exchange.to_client.write(await exchange.answer())


async def closes_at_once(exchange: Exchange) -> None:
    """The connection is closed when the request begins to arrive: X gets nothing."""
    exchange.to_client.close()


async def closes_when_idle(exchange: Exchange) -> None:
    """The answer comes, and the connection, which was to be kept, is closed after it.

    The answer's last segment says so: whoever has read the answer can know it, however busy the machine is.
    """
    answer = await exchange.answer()
    exchange.to_client.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _HOLD_LAST_SEGMENT, 1)
    exchange.to_client.write(answer)
    exchange.to_client.write_eof()
    exchange.to_client.close()


async def loses_the_request(exchange: Exchange) -> None:
    """X never gets the request, and the client hears nothing of that: half of the connection is gone."""
    await exchange.request()
    await exchange.lose()


async def loses_the_answer(exchange: Exchange) -> None:
    """X gets the request, and the client hears nothing of that."""
    await exchange.answer()
    await exchange.lose()


def resets_request_after(share: float) -> Fault:
    """The connection breaks while the request is on its way: X gets a part of it."""

    async def fault(exchange: Exchange) -> None:
        request = await exchange.request()
        _, writer = await exchange.upstream()
        writer.write(request[: int(len(request) * share)])
        await writer.drain()
        writer.transport.abort()
        exchange.reset()

    return fault


def resets_answer_after(share: float) -> Fault:
    """X gets the request, and the connection breaks while the answer is on its way."""

    async def fault(exchange: Exchange) -> None:
        answer = await exchange.answer()
        exchange.to_client.write(answer[: int(len(answer) * share)])
        await exchange.to_client.drain()
        exchange.reset()

    return fault


def drips(pause: float) -> Fault:
    """The answer comes byte by byte."""

    async def fault(exchange: Exchange) -> None:
        for byte in await exchange.answer():
            exchange.to_client.write(bytes([byte]))
            await exchange.to_client.drain()
            await asyncio.sleep(pause)

    return fault


class Proxy:
    """Hands requests on to the server at ``port``; the first ones meet ``faults``, one each, the others none."""

    def __init__(self, port: int, *faults: Fault, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._faults = deque(faults)
        self._tls = tls
        self.connections = 0
        self.requests = 0
        self.lost = threading.Event()  # a request or its answer was

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Listen during a block."""
        self._loop, listening = asyncio.new_event_loop(), Future[int]()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(listening),), daemon=True)
        thread.start()
        self.port = listening.result(30)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._closed.set)
            thread.join(30)
            self._loop.close()

    async def _serve(self, listening: Future[int]) -> None:
        self._closed = asyncio.Event()
        self._open = set[asyncio.Task[None]]()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        listening.set_result(server.sockets[0].getsockname()[1])
        await self._closed.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._hand_on(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writers = [writer]

        async def upstream() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            from_x, to_x = await asyncio.open_connection("127.0.0.1", self._port)
            writers.append(to_x)
            return from_x, to_x

        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                fault = self._faults.popleft() if self._faults else passes
                await fault(Exchange(reader, writer, upstream, head, self.lost))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away, or a fault was that it should
        finally:
            for each in writers:
                each.close()
            for each in writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0
