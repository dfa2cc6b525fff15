"""Ports of 127.0.0.1 for servers that must be told which they shall have."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port at which nobody listens, and which nobody is given who asks for any until the block ends.

    A server that asks for it by its number gets it, as servers do that may be started anew at once.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield int(reserved.getsockname()[1])
