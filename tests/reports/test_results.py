"""The requests beside `upload_results`."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.reports.results import REQUESTS, requests_table


@given(st.lists(st.none() | st.floats(0, 4e9) | st.integers(0, 2**20).map(lambda half: half / 2000)))
def test_times_are_rounded_as_python_rounds(seconds: list[float | None]) -> None:
    """To the nearest millisecond, and to the even one of two."""
    row = dict.fromkeys((*REQUESTS.names, "id", "size"))
    told = requests_table([row | {"first_sent_at": each, "settled_at": each} for each in seconds])
    expected = [None if each is None else round(each * 1000) for each in seconds]
    assert told["first_sent_at"].cast(pa.int64()).to_pylist() == expected
    assert told["settled_at"].equals(told["first_sent_at"])
