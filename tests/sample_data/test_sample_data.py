"""The sample orders: reproducible, described, harmless, and reported for exactly what was planted in them."""

import csv
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from io import BytesIO
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests

from xcapi_dagster.conversions.duplicates import Duplicates
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.prepare import Rules, check_columns, prepare
from xcapi_dagster.sandbox import DEMO_EVENT_ID, DEMO_PIXEL_ID, DEMO_PIXEL_TOKEN, Sandbox

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
DAYS = [date(2026, 10, 20) + timedelta(days=number) for number in range(14)]
RULES = Rules(
    event_id=DEMO_EVENT_ID,
    pixel_id=DEMO_PIXEL_ID,
    default_country=None,
    default_currency=None,
    source_timezone="UTC",
    unknown_consent="suppress",
    allow_ip_user_agent_only=True,
    send_event_source_url=False,
    now=datetime(2026, 11, 3, 2, tzinfo=UTC),
)
Line = tuple[str, str, str, str, str]  # order id, partition, stage, severity, reason code


@pytest.fixture(scope="module")
def orders() -> pa.Table:
    return pq.read_table(SAMPLE_DATA / "orders.parquet")


@pytest.fixture(scope="module")
def planted() -> list[Line]:
    with (SAMPLE_DATA / "planted_faults.csv").open(newline="", encoding="utf-8") as file:
        names, *lines = csv.reader(file)
    assert names == ["order_id", "partition", "stage", "severity", "reason_code"]
    return [(order_id, day, stage, severity, reason) for order_id, day, stage, severity, reason in lines]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def clean(orders: pa.Table, planted: list[Line]) -> list[dict[str, Any]]:
    """The orders without any planted reason, as rows."""
    faulty = {line[0] for line in planted}
    return [row for row in orders.to_pylist() if (row["order_id"] or "").strip() not in faulty]


def of_day(orders: pa.Table, day: date) -> pa.Table:
    """The orders of one partition: from midnight to before the next, in UTC."""
    start = pa.scalar(datetime.combine(day, time.min, UTC), orders.schema.field("ordered_at").type)
    end = pa.scalar(datetime.combine(day + timedelta(days=1), time.min, UTC), start.type)
    times = orders["ordered_at"]
    return orders.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))


def reported(orders: pa.Table, day: date) -> Iterator[Line]:
    """What the transform reports of one partition, read in chunks so that duplicates lie in different ones."""
    duplicates, first_row = Duplicates(BytesIO()), 0
    for batch in orders.to_batches(max_chunksize=64):
        prepared = prepare(batch, first_row, RULES, duplicates)
        first_row += batch.num_rows
        for line in prepared.rejections.select(["order_id", "stage", "severity", "reason_code"]).to_pylist():
            yield (line["order_id"] or "").strip(), str(day), line["stage"], line["severity"], line["reason_code"]
    for order_id in orders["order_id"].take(pa.array(duplicates.losers())).to_pylist():
        yield order_id, str(day), "validate", "rejected", "duplicate_order"


def post(sandbox: Sandbox, body: bytes) -> tuple[int, set[str]]:
    """The status of the answer to a request with this body, and what its errors are about."""
    headers = {"content-type": "application/json", "x-pixel-token": DEMO_PIXEL_TOKEN}
    answer = requests.post(
        f"{sandbox.url}/12/measurement/conversions/{DEMO_PIXEL_ID}", body, headers=headers, timeout=10
    )
    return answer.status_code, {error["parameter"] for error in answer.json().get("errors", ()) if error["parameter"]}


def test_the_generator_reproduces_the_committed_files(tmp_path: Path, orders: pa.Table) -> None:
    """Another run writes the same orders, value by value, and the same list of faults, byte by byte."""
    subprocess.run([sys.executable, str(SAMPLE_DATA / "generate.py"), str(tmp_path)], check=True)
    again = pq.read_table(tmp_path / "orders.parquet")
    assert again.schema.equals(orders.schema)
    assert again.equals(orders)
    assert (tmp_path / "planted_faults.csv").read_bytes() == (SAMPLE_DATA / "planted_faults.csv").read_bytes()


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_every_order_is_reported_for_what_was_planted_in_it_and_nothing_else(
    day: date, orders: pa.Table, planted: list[Line]
) -> None:
    """Each planted row gets exactly its reasons, each with its stage and severity, and no other row gets any."""
    expected = Counter(line for line in planted if line[1] == str(day) and line[2] != "api")
    assert Counter(reported(of_day(orders, day), day)) == expected


def test_the_columns_are_what_the_transform_asks_for(orders: pa.Table) -> None:
    """The sample's schema passes the check that is made before anything is read."""
    check_columns(orders.schema, unknown_consent_is_set=False)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_x_refuses_the_orders_planted_for_it_and_no_others(
    day: date, orders: pa.Table, planted: list[Line], sandbox: Sandbox
) -> None:
    """One by one, each of them is answered with an error about its event id; the rest of the day is accepted."""
    conversions = prepare(of_day(orders, day), 0, RULES).conversions
    for_x = [line[0] for line in planted if line[1] == str(day) and line[2] == "api"]
    is_for_x = pc.is_in(conversions["order_id"], pa.array(for_x, pa.string()))
    rest, foreign = to_events(conversions.filter(pc.invert(is_for_x))), to_events(conversions.filter(is_for_x))
    assert len(foreign) == len(for_x)
    assert len(rest) > 0.9 * len(conversions) > 200
    assert post(sandbox, rest.body(slice(None))) == (200, set())
    for position in range(len(foreign)):
        assert post(sandbox, foreign.body(slice(position, position + 1))) == (404, {"event_id"})


def test_the_readme_counts_every_planted_reason(planted: list[Line]) -> None:
    """The table of reason codes says how many of each there are."""
    table = re.findall(r"^\| `(\w+)` \| (\d+) \|", (SAMPLE_DATA / "README.md").read_text("utf-8"), re.MULTILINE)
    assert {reason: int(count) for reason, count in table} == Counter(line[4] for line in planted)


def test_the_readme_names_every_column_and_the_size(orders: pa.Table) -> None:
    """No column is without a description, and the number of rows is the file's."""
    readme = (SAMPLE_DATA / "README.md").read_text("utf-8")
    assert [name for name in orders.column_names if f"`{name}`" not in readme] == []
    assert f"{orders.num_rows:,} rows" in readme


def test_the_orders_fill_fourteen_days_and_their_edges(orders: pa.Table) -> None:
    """Every row but three lies in one of the days, and some on a day's first or last millisecond."""
    assert sum(of_day(orders, day).num_rows for day in DAYS) == orders.num_rows - 3
    assert orders["ordered_at"].null_count == 3
    times = [moment.time() for moment in orders["ordered_at"].to_pylist() if moment]
    assert times.count(time.min) > 5
    assert times.count(time(23, 59, 59, 999_000)) > 5


def test_nobody_in_the_sample_can_be_written_to(orders: pa.Table) -> None:
    """Every e-mail address, in whichever column, is at a domain that RFC 2606 keeps for examples."""
    texts = [text for name in orders.column_names if pa.types.is_string(orders[name].type)
             for text in orders[name].drop_null().to_pylist()]  # fmt: skip
    domains = re.findall(r"@([\w.-]*\w)", "\n".join(texts).lower())
    assert len(domains) > 4_000
    assert {".".join(domain.split(".")[-2:]) for domain in domains} == {"example.com", "example.org", "example.net"}


def test_the_clean_phones_are_possible_numbers(clean: list[dict[str, Any]]) -> None:
    """Google's library finds a number of possible length in each, and none in a clean row lacks its country."""
    phones = [(row["phone"], row["country"]) for row in clean if row["phone"] is not None]
    assert len(phones) > 2_000
    for phone, country in phones:
        assert phonenumbers.is_possible_number(phonenumbers.parse(phone, country))


def test_the_clean_addresses_are_public(clean: list[dict[str, Any]]) -> None:
    """Nothing private or reserved is left outside the planted rows."""
    addresses = [IPv4Address(row["ip_address"]) for row in clean if row["ip_address"] is not None]
    assert len(addresses) > 3_500
    assert all(address.is_global and not address.is_multicast for address in addresses)


def test_money_has_the_smallest_coin_of_its_currency(clean: list[dict[str, Any]]) -> None:
    """JPY has no decimals, KWD up to three, all others up to two (ISO 4217)."""
    decimals = {"JPY": 0, "KWD": 3}
    for row in [row for row in clean if row["currency"] is not None]:
        for money in [row["value"], *(item["content_price"] for item in row["items"] or ())]:
            assert money is None or money == round(money, decimals.get(row["currency"], 2))
