"""What tells whether two lots of conversions are the same, in whatever order they come."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any


def digest_of(conversions: Iterable[Any]) -> int:
    """The sum of a hash of each: of one that is missing, there twice or another in one character, it is another."""
    texts = (json.dumps(conversion, sort_keys=True).encode() for conversion in conversions)
    return sum(int.from_bytes(sha256(text).digest()[:8]) for text in texts) % 2**64
