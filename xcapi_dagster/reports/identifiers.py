"""Which identifiers a partition's conversions carry, counted chunk by chunk in bounded memory."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from xcapi_dagster.conversions.hashing import sha256_digits, to_numbers
from xcapi_dagster.conversions.texts import whole
from xcapi_dagster.reports.worth import Worth, worth_by

Identifier = Literal["twclid", "hashed_email", "hashed_phone_number", "ip_address", "user_agent"]

IDENTIFIERS: tuple[Identifier, ...] = ("twclid", "hashed_email", "hashed_phone_number", "ip_address", "user_agent")
STRONG_IDENTIFIERS: tuple[Identifier, ...] = ("twclid", "hashed_email", "hashed_phone_number")

# One value on more orders than both of these is no person's: a shop's own address, a click id out of a cached page.
SHARED_ORDERS = 10
SHARED_PART = 0.001

_REMEMBERED = 4096  # values a column: a count is short by at most conversions / _REMEMBERED, below SHARED_PART of them


class Identifiers(BaseModel):
    """What is known of the identifiers of a partition's conversions, without any of them."""

    model_config = ConfigDict(frozen=True)

    groups: Mapping[str, Worth] = {}  # "twclid+hashed_email" -> the conversions with just these
    shared: Mapping[str, int] = {}  # identifier -> conversions whose value is on too many of them
    mistyped_domains: int = 0  # e-mail addresses at gmial.com and the like

    @property
    def conversions(self) -> int:
        """How many conversions there are."""
        return sum(worth.orders for worth in self.groups.values())

    def carried(self, identifier: Identifier) -> int:
        """How many conversions carry the identifier."""
        return sum(worth.orders for group, worth in self.groups.items() if identifier in group.split("+"))


class IdentifierTally:
    """Counts the identifiers of conversions, a chunk at a time."""

    def __init__(self) -> None:
        self._groups: dict[str, Worth] = {}
        self._often = {identifier: _Often() for identifier in STRONG_IDENTIFIERS}
        self._conversions = 0
        self._mistyped = 0

    def add(self, conversions: pa.Table, *, mistyped_domains: int = 0) -> None:
        """Add a chunk, a table of CONVERSIONS, and in how many of its orders the e-mail's domain is mistyped."""
        self._conversions += len(conversions)
        self._mistyped += mistyped_domains
        for group, worth in worth_by(_groups(conversions), conversions["value"], conversions["currency"]).items():
            self._groups[group] = self._groups.get(group, Worth()) + worth
        for identifier, often in self._often.items():
            often.add(conversions[identifier])

    @property
    def found(self) -> Identifiers:
        """What the chunks so far hold."""
        most = max(SHARED_ORDERS, SHARED_PART * self._conversions)
        shared = {identifier: often.above(most) for identifier, often in self._often.items()}
        return Identifiers(
            groups=dict(sorted(self._groups.items())),
            shared={identifier: orders for identifier, orders in shared.items() if orders},
            mistyped_domains=self._mistyped,
        )


def _groups(conversions: pa.Table) -> pa.Array:
    """The names of the identifiers that each conversion carries."""
    which = np.zeros(len(conversions), np.int8)
    for bit, identifier in enumerate(IDENTIFIERS):
        which |= conversions[identifier].is_valid().to_numpy().astype(np.int8) << np.int8(bit)
    names = [
        "+".join(identifier for bit, identifier in enumerate(IDENTIFIERS) if group >> bit & 1)
        for group in range(1 << len(IDENTIFIERS))
    ]
    return pa.DictionaryArray.from_arrays(pa.array(which), pa.array(names)).dictionary_decode()


class _Often:
    """The most frequent values of a column, by Misra and Gries: whatever the column holds, few are remembered."""

    def __init__(self) -> None:
        self._values: NDArray[np.int64] = np.empty(0, np.int64)
        self._counts: NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, column: pa.ChunkedArray) -> None:
        """Count a chunk."""
        values, counts = np.unique(_told_apart(whole(column)), return_counts=True)
        if len(values) == 0:
            return
        at = np.searchsorted(values, self._values)
        is_seen = values.take(at, mode="clip") == self._values
        counts[at[is_seen]] += self._counts[is_seen]
        values = np.concatenate([values, self._values[~is_seen]])
        counts = np.concatenate([counts, self._counts[~is_seen]])
        counts -= _next_after(_REMEMBERED, counts)
        kept = counts > 0
        self._values, self._counts = values[kept], counts[kept]

    def above(self, most: float) -> int:
        """How many conversions have a value that more than ``most`` of them have."""
        return int(self._counts[self._counts > most].sum())


def _next_after(largest: int, counts: NDArray[np.int64]) -> int:
    """The largest of the counts but for so many; 0 if there are no more. Mostly it is 1, which few are above."""
    if len(counts) <= largest:
        return 0
    above = counts[counts > 1]
    return 1 if len(above) <= largest else int(np.partition(above, -largest - 1)[-largest - 1])


def _told_apart(texts: pa.StringArray) -> NDArray[np.int64]:
    """A number for each text that is not null: of SHA-256 hashes the first bytes, of others a digest."""
    digits = sha256_digits(texts)
    if digits is None:
        return to_numbers(texts.drop_null()).view(np.int64)
    return np.ascontiguousarray(digits[:, :8]).view(np.int64).ravel()
