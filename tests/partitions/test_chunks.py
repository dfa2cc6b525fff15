"""Conversions as they are read for delivery."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.parquet import ParquetFile
from xcapi_dagster.partitions.chunks import chunks, keys_of

VIEW = LedgerView("scope")


def conversions(*ids: str, event: str = "o87ne") -> pa.Table:
    return pa.table({"value": range(len(ids)), "event_id": [event] * len(ids), "conversion_id": ids})


def test_keys_of_several_events() -> None:
    """Each conversion has the key of its own event, in chunks or not, and no conversions have none."""
    orders = pa.concat_tables([conversions("A-1", event=event) for event in ("o87ne", "tw-o8z6j-o87ne", "o87nf")] * 2)
    expected = VIEW.keys(["o87ne", "o87ne", "o87nf"] * 2, ["A-1"] * 6).tolist()
    assert keys_of(VIEW, orders).tolist() == keys_of(VIEW, orders.combine_chunks()).tolist() == expected
    assert len(keys_of(VIEW, orders.slice(0, 0))) == 0


def test_a_chunk_is_let_go_of_before_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two of them would be in memory at once; a row group is a chunk."""
    row = {"row": 7, "order_id": "A", "conversion_id": "A-1", "event_id": "o87ne", "twclid": "x", "fingerprint": 5}
    row["conversion_time"] = datetime(2026, 9, 21, tzinfo=UTC)
    pq.write_table(pa.Table.from_pylist([row] * 6, schema=CONVERSIONS), tmp_path / "six", row_group_size=2)
    read: list[ReferenceType[pa.Table]] = []
    alive: list[int] = []
    read_row_group = ParquetFile.read_row_group

    def watched(file: ParquetFile, *of: Any, **options: Any) -> pa.Table:
        alive.append(sum(table() is not None for table in read))
        conversions = read_row_group(file, *of, **options)
        read.append(ref(conversions))
        return conversions

    monkeypatch.setattr(ParquetFile, "read_row_group", watched)
    rendered = chain.from_iterable(map(_events, chunks(UPath(tmp_path / "six"), VIEW)))
    assert (len(list(rendered)), alive) == (6, [0, 0, 0])


def _events(chunk: Chunk) -> Iterator[bytes]:
    """The JSON of each, one after the other, as requests are made of them."""
    events = chunk.render(np.arange(2))
    yield from (events.text_of(position) for position in range(2))


def test_files_of_earlier_versions(tmp_path: Path) -> None:
    """They have no pages; what is not sent of a file makes no difference."""
    row = {"row": 7, "order_id": "A", "conversion_id": "A-1", "event_id": "o87ne", "twclid": "x", "fingerprint": 5}
    times = {"conversion_time": datetime(2026, 9, 21, tzinfo=UTC)}
    now = pa.Table.from_pylist([row | times], schema=CONVERSIONS)
    texts = []
    for name, table in (("earlier", now.drop_columns("event_source_url")), ("now", now)):
        pq.write_table(table, tmp_path / name)
        (chunk,) = chunks(UPath(tmp_path / name), VIEW)
        assert (chunk.fingerprints.tolist(), len(chunk.keys)) == ([5], 1)
        texts.append(chunk.render(np.array([0])).body(slice(None)))
    assert texts == [to_events(now).body(slice(None))] * 2
