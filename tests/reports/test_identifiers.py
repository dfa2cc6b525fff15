"""Which identifiers conversions carry, counted in chunks, and which values stand on too many of them."""

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.reports.identifiers import IDENTIFIERS, Identifiers, IdentifierTally, _next_after


def conversions(**columns: list[str | None]) -> pa.Table:
    """A table of CONVERSIONS with these columns, nulls elsewhere."""
    (rows,) = {len(values) for values in columns.values()}
    return pa.table(
        [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
            for field in CONVERSIONS
        ],
        schema=CONVERSIONS,
    )


def hashes(texts: list[str]) -> list[str]:
    return [sha256(text.encode()).hexdigest() for text in texts]


def counted(*chunks: pa.Table) -> Identifiers:
    tally = IdentifierTally()
    for chunk in chunks:
        tally.add(chunk)
    return tally.found


presence = st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=30)


@given(presence, st.integers(0, 30))
def test_groups_are_what_a_count_row_by_row_gives(rows: list[list[bool]], cut: int) -> None:
    """However the rows are cut into chunks."""
    columns = {name: ["x" if row[at] else None for row in rows] for at, name in enumerate(IDENTIFIERS)}
    table = conversions(**columns)
    found = counted(table.slice(0, cut), table.slice(cut))
    for at, name in enumerate(IDENTIFIERS):
        assert found.carried(name) == sum(row[at] for row in rows)
    names = ["+".join(name for at, name in enumerate(IDENTIFIERS) if row[at]) for row in rows]
    assert {group: worth.orders for group, worth in found.groups.items()} == {n: names.count(n) for n in set(names)}
    assert found.conversions == len(rows)


@pytest.mark.parametrize(("times", "shared"), [(10, 0), (11, 11)])
def test_a_value_on_more_than_ten_orders_is_shared(times: int, shared: int) -> None:
    """Ten orders of one person in a partition may be; eleven are no person's."""
    emails = [*["shop"] * times, *(f"person {n}" for n in range(100))]
    clicks: list[str | None] = [*["the same click"] * times, *(f"click {n}" for n in range(100))]
    found = counted(conversions(hashed_email=[*hashes(emails)], twclid=clicks))
    assert found.shared == ({"hashed_email": shared, "twclid": shared} if shared else {})


def test_chunks_see_the_whole_partition() -> None:
    """Four in each of three chunks are twelve, also in slices of a longer table, whose buffers begin elsewhere."""
    emails = hashes([*(f"before {n}" for n in range(7)), *["shop"] * 12, *(f"after {n}" for n in range(20))])
    table = conversions(hashed_email=[*emails])
    assert counted(*(table.slice(start, 4) for start in (7, 11, 15))).shared == {"hashed_email": 12}


def test_a_slice_after_other_texts_is_read_where_it_begins() -> None:
    """Click ids as long as a hash, behind short ones in the same buffer: twelve people, each once."""
    clicks = [*"abc", *hashes([f"person {n}" for n in range(12)])]
    assert counted(conversions(twclid=[*clicks]).slice(3)).shared == {}
    assert counted(conversions(twclid=[*"abc", *hashes(["one"] * 12)]).slice(3)).shared == {"twclid": 12}


def test_many_orders_need_a_thousandth() -> None:
    """Of 30,000 conversions, 29 may be one person's; 200 are found among more values than are remembered."""
    people = [f"person {n}" for n in range(29_771)]
    emails = hashes([*["busy"] * 29, *["shop"] * 200, *people])
    table = conversions(hashed_email=[*emails])
    found = counted(*(table.slice(start, 6_000) for start in range(0, 30_000, 6_000)))
    assert 200 - 30_000 / 4096 <= found.shared["hashed_email"] <= 200


@given(st.lists(st.integers(1, 4), max_size=20), st.integers(1, 20))
def test_what_no_value_is_remembered_by(counts: list[int], largest: int) -> None:
    """The count after so many larger ones, which is taken off all: so few are left."""
    found = _next_after(largest, np.array(counts, np.int64))
    assert found == [*sorted(counts, reverse=True), *[0] * (largest + 1)][largest]
