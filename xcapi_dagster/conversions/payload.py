"""Conversions as the JSON that X takes, written column by column: a request's body is a slice of one text."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.amounts import to_text
from xcapi_dagster.conversions.json_columns import json_member, objects, plain_member, text_member
from xcapi_dagster.errors import ContractError

_HEAD, _TAIL = b'{"conversions":[', b"]}"


@dataclass(frozen=True, slots=True)
class Events:
    """The JSON of conversions, a comma after each; that of conversion i is between ``ends[i]`` and ``ends[i + 1]``."""

    text: memoryview
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def body(self, positions: slice | npt.NDArray[np.intp] | None = None) -> bytes:
        """The body of a request with the conversions at these positions, which for a slice are consecutive."""
        if positions is None:
            positions = slice(None)
        if isinstance(positions, slice):
            first, last, _ = positions.indices(len(self))
            parts: Iterable[memoryview] = [self.text[self.ends[first] : self.ends[max(first, last)]]]
        else:
            parts = [self.text[self.ends[each] : self.ends[each + 1]] for each in positions]
        return _HEAD + b"".join(parts).removesuffix(b",") + _TAIL

    def text_of(self, position: int) -> bytes:
        """The JSON of one conversion."""
        return bytes(self.text[self.ends[position] : self.ends[position + 1] - 1])


def to_events(conversions: pa.Table) -> Events:
    """The event of each conversion, in their order; the table has the columns of CONVERSIONS."""
    columns = {name: conversions[name].combine_chunks() for name in conversions.column_names}
    members = [
        plain_member("conversion_time", _iso_8601(columns["conversion_time"])),
        plain_member("event_id", columns["event_id"]),
        json_member("identifiers", _identifiers(columns)),
        plain_member("value", to_text(columns["value"])),
        plain_member("price_currency", columns["currency"]),
        json_member("number_items", columns["number_items"].cast(pa.string())),
        text_member("conversion_id", columns["conversion_id"]),
        text_member("description", columns["description"]),
        json_member("contents", columns["contents"]),
    ]
    pages = columns.get("event_source_url")  # which files of earlier versions do not have
    if pages is not None and pages.null_count < len(pages):
        members.append(text_member("event_source_url", pages))
    events = pc.binary_join_element_wise(objects(members), ",", "")
    if len(events) == 0:
        return Events(memoryview(b""), np.zeros(1, np.int64))
    _, ends, text = events.buffers()
    return Events(memoryview(text), np.frombuffer(ends, np.int32)[: len(events) + 1].astype(np.int64))


def _iso_8601(times: pa.Array) -> pa.Array:
    """Times of type MILLISECONDS as `YYYY-MM-DDTHH:MM:SS.mmmZ`; casting them with their zone is 30 times slower."""
    texts = times.cast(pa.int64()).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(texts, " ", "T"), "Z", "")


def _identifiers(columns: dict[str, pa.Array]) -> pa.Array:
    """An array of objects: one for each identifier that stands alone, then IP address and user agent together.

    Where only one of those two is known, it goes into the first object, for X takes no object of it alone.
    """
    address = plain_member("ip_address", columns["ip_address"])
    agent = text_member("user_agent", columns["user_agent"])
    pair = pc.binary_join_element_wise(address, agent, ",")
    lone = pc.if_else(pair.is_null(), pc.coalesce(address, agent), None)
    rest = pc.fill_null(pc.binary_join_element_wise(",", lone, ""), "")
    entries = []
    for name in ("twclid", "hashed_email", "hashed_phone_number"):
        member = text_member(name, columns[name])
        entries.append(pc.binary_join_element_wise("{", member, rest, "}", ""))
        rest = pc.if_else(member.is_valid(), "", rest)
    entries.append(pc.binary_join_element_wise("{", pair, "}", ""))
    listed = pc.binary_join_element_wise(*entries, ",", null_handling="skip")
    if len(listed) != len(pair):  # the kernel leaves out rows without any
        raise ContractError("a conversion without identifier was about to be sent")
    return pc.binary_join_element_wise("[", listed, "]", "")
