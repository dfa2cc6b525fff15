"""Conversions as the JSON that X takes, written column by column: a request's body is a slice of one text."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.amounts import to_text
from xcapi_dagster.conversions.json_columns import escaped, given, joined
from xcapi_dagster.conversions.texts import replace_where
from xcapi_dagster.errors import ContractError

_HEAD, _TAIL = b'{"conversions":[', b"]}"


@dataclass(frozen=True, slots=True)
class Events:
    """The JSON of conversions, a comma after each; that of conversion i is between ``ends[i]`` and ``ends[i + 1]``."""

    text: memoryview
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def body(self, positions: slice | npt.NDArray[np.intp]) -> bytes:
        """The body of a request with the conversions at these positions, which for a slice are consecutive."""
        if isinstance(positions, slice):
            first, last, _ = positions.indices(len(self))
            parts = [self.text[self.ends[first] : self.ends[max(first, last)]]]
        else:
            parts = [self.text[self.ends[each] : self.ends[each + 1]] for each in positions]
        if parts:
            parts[-1] = parts[-1][:-1]  # no comma follows the last
        return b"".join([_HEAD, *parts, _TAIL])

    def text_of(self, position: int) -> bytes:
        """The JSON of one conversion."""
        return bytes(self.text[self.ends[position] : self.ends[position + 1] - 1])


def to_events(conversions: pa.Table) -> Events:
    """The event of each conversion, in their order; the table has the columns of CONVERSIONS."""
    if len(conversions) == 0:
        return Events(memoryview(b""), np.zeros(1, np.int64))
    (batch,) = conversions.combine_chunks().to_batches()
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    pages = columns.get("event_source_url", pa.nulls(len(batch), pa.string()))  # not in files of earlier versions
    events = joined(
        "{",
        *given('"conversion_time":"', _iso_8601(columns["conversion_time"]), '",'),
        *given('"event_id":"', columns["event_id"], '",'),
        *('"identifiers":[', _identifiers(columns), "]"),  # in every event: a comma stands on this side of the others
        *given(',"value":"', to_text(columns["value"]), '"'),
        *given(',"price_currency":"', columns["currency"], '"'),
        *given(',"number_items":', columns["number_items"].cast(pa.string()), ""),
        *given(',"conversion_id":"', escaped(columns["conversion_id"]), '"'),
        *given(',"description":"', escaped(columns["description"]), '"'),
        *given(',"contents":', columns["contents"], ""),
        *given(',"event_source_url":"', escaped(pages), '"'),
        "},",
    )
    _, ends, text = events.buffers()
    return Events(memoryview(text), np.frombuffer(ends, np.int32)[: len(events) + 1].astype(np.int64))


def _iso_8601(times: pa.Array) -> pa.Array:
    """Times of type MILLISECONDS as `YYYY-MM-DDTHH:MM:SS.mmmZ`; casting them with their zone is 30 times slower."""
    texts = times.cast(pa.int64()).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def _identifiers(columns: dict[str, pa.Array]) -> pa.Array:
    """Objects with commas between them: one for each identifier that stands alone, then IP address and user agent.

    Where only one of those two is known, it goes into the first object, for X takes no object of it alone.
    """
    address, agent = columns["ip_address"], escaped(columns["user_agent"])
    alone = {"twclid": escaped(columns["twclid"])}
    alone |= {name: columns[name] for name in ("hashed_email", "hashed_phone_number")}
    entries = [pc.binary_join_element_wise(f'{{"{name}":"', texts, '"}', "") for name, texts in alone.items()]
    entries.append(pc.binary_join_element_wise('{"ip_address":"', address, '","user_agent":"', agent, '"}', ""))
    listed = pc.binary_join_element_wise(*entries, ",", null_handling="skip")
    if len(listed) != len(address):  # the kernel leaves out rows without any
        raise ContractError("a conversion without identifier was about to be sent")
    is_unpaired = pc.xor(address.is_valid(), agent.is_valid())
    return replace_where(is_unpaired, listed, lambda some: _with_unpaired(some, address, agent, is_unpaired))


def _with_unpaired(listed: pa.Array, address: pa.Array, agent: pa.Array, is_unpaired: pa.Array) -> pa.Array:
    """The objects ``listed`` for the unpaired, the first of each with the one of the two that is known."""
    return joined(
        "{",
        *given('"ip_address":"', address.filter(is_unpaired), '",'),
        *given('"user_agent":"', agent.filter(is_unpaired), '",'),
        pc.binary_replace_slice(listed, 0, 1, ""),
    )
