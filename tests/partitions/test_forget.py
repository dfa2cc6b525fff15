"""One order forgotten: no file tells of it, every count still adds up, and nobody sends it any more."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import DAY
from xcapi_dagster.delivery.doubt import doubts
from xcapi_dagster.delivery.forgotten import leave_tombstone
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions.forget import forget, traces_of
from xcapi_dagster.partitions.upload import write_results
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_page

SECRET = "secret-order"

# what is wrong with the order -> the files that tell of it
KINDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "accepted": ({}, {"conversions", "upload_results"}),
    "refused by X": (
        {"event_id": "onotset"},
        {"conversions", "upload_results", "rejection_report"},
    ),
    "invalid": ({"value": "-1"}, {"invalid", "rejection_report"}),
    "without consent": ({"consent": "denied"}, {"invalid", "rejection_report"}),
    "sent with less": (
        {"description": "to me@example.com"},
        {"conversions", "invalid", "upload_results", "rejection_report"},
    ),
}


def texts(folder: Path) -> dict[str, str]:
    """What every file says, whatever it is packed in."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            packed = path.suffix == ".parquet"
            found[path.name] = str(pq.read_table(path).to_pylist()) if packed else path.read_bytes().decode("latin-1")
    return found


def forget_in(shop: SandboxedShop, order_id: str) -> None:
    """All that the command does."""
    with shop.ledger() as ledger:
        forget(order_id, shop.event_id, ledger, shop.outputs, by="me@here")


def counted(**counts: int) -> dict[str, int]:
    return Counts(**counts).as_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_tells_of_it_and_the_others_stay(shop: SandboxedShop, kind: str) -> None:
    """Whatever became of it. Then results can be written from the files, and a sync adds up; neither brings it back."""
    columns, files = KINDS[kind]
    shop.put_many(3)
    shop.put("also-denied", consent="denied")
    shop.put(SECRET, **columns)
    summary = shop.sync().summary
    write_page(summary, History([summary]), shop.outputs)
    others = [row for row in shop.rows("upload_results") if row["order_id"] != SECRET]
    (found,) = traces_of(SECRET, shop.outputs)
    assert (found.partition, set(found.rows)) == (DAY, files)
    assert any(SECRET in text for text in texts(shop.folder).values())

    forget_in(shop, SECRET)
    assert traces_of(SECRET, shop.outputs) == []
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    assert shop.rows("upload_results") == others

    expected = {"read": 5, "suppressed": 2, "already_accepted": 3}
    shop.runs += 1
    with shop.ledger() as ledger:
        assert write_results(DAY, ledger, shop.policy, shop.outputs).counts.as_dict() == counted(**expected)
    assert shop.sync().counts.as_dict() == counted(**expected)
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    (told,) = [row for row in shop.rows("rejection_report") if row["reason_code"] == "forgotten"]
    assert (told["order_id"], told["value"], told["severity"]) == (None, None, "suppressed")


def test_a_page_that_is_older_than_its_report_tells_nothing_of_it_either(shop: SandboxedShop) -> None:
    """The run that wrote the report was killed before its page: the order is on the old one alone."""
    shop.put(SECRET, value="-1")
    summary = shop.sync().summary
    write_page(summary, History([summary]), shop.outputs)
    shop.put(SECRET)
    shop.sync()
    forget_in(shop, SECRET)
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []


def test_it_is_not_sent_once_it_was_prepared(shop: SandboxedShop) -> None:
    """A run that read the order before, and wrote its file after, leaves it out and counts it all the same."""
    shop.put("a")
    shop.put(SECRET)
    shop.prepare()
    with shop.ledger() as ledger:
        leave_tombstone(ledger, SECRET, [(shop.event_id, SECRET)], by="me@here")
    assert shop.upload().counts.as_dict() == counted(read=2, suppressed=1, accepted=1, requests=1)
    assert shop.sent == ["a"]
    told = {row["order_id"]: (row["state"], row["reason_code"]) for row in shop.rows("upload_results")}
    assert told[SECRET] == ("suppressed", "forgotten")
    assert SECRET not in str(shop.sandbox.received)


def test_what_was_in_doubt_is_neither_resent_nor_held(shop: SandboxedShop) -> None:
    """Nobody has to decide about it any more."""
    shop.put(SECRET)
    shop.sandbox.script([{"match": {"next": 4}, "do": {"drop": "after"}}])
    assert shop.sync().counts.unknown == 1
    forget_in(shop, SECRET)
    assert shop.sync().counts.as_dict() == counted(read=1, suppressed=1)
    with shop.ledger() as ledger:
        assert doubts(ledger, shop.policy) == []
        assert len(ledger.memory.entries_of("forgotten").keys) == 2  # the order's and the conversion's


def test_every_row_of_it_is_forgotten(shop: SandboxedShop) -> None:
    """Two rows of one order, of which one is a duplicate, and one more under another event."""
    for value, event in (("1.00", None), ("2.00", None), ("3.00", "oother1")):
        shop.put("tmp", value=value, event_id=event)
        shop.orders[-1]["order_id"] = SECRET
    shop.put("b")
    shop.prepare()
    forget_in(shop, SECRET)
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    assert shop.sync().counts.as_dict() == counted(read=4, suppressed=3, accepted=1, requests=1)


def test_an_order_that_no_file_holds_is_forgotten_too(shop: SandboxedShop) -> None:
    """It is not even read later."""
    shop.put("a")
    shop.sync()
    forget_in(shop, SECRET)
    shop.put(SECRET, conversion_id="something else")
    assert shop.sync().counts.as_dict() == counted(read=2, suppressed=1, already_accepted=1)
    assert shop.sent == ["a"]


def test_another_pixel_gets_no_order_that_was_forgotten_before(shop: SandboxedShop) -> None:
    """Nor one that was forgotten since; another instance that sends there has forgotten neither."""
    for order_id in (SECRET, "b", "c"):
        shop.put(order_id)
    shop.sync()
    forget_in(shop, SECRET)
    shop.pixel_id, shop.event_id = "onew1", "onewpur"
    forget_in(shop, "c")
    assert shop.prepare().suppressed == 2
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    assert [row["order_id"] for row in shop.rows("conversions")] == ["b"]
    other = replace(shop, name="other")
    assert other.prepare().suppressed == 1
    assert [row["order_id"] for row in other.rows("conversions")] == [SECRET, "b"]


@pytest.mark.parametrize(("kind", "missing"), [("without consent", "conversions"), ("sent with less", "invalid")])
def test_a_file_of_the_first_stage_may_be_gone(shop: SandboxedShop, kind: str, missing: Any) -> None:
    """What there is tells nothing of the order any more, and still of the others; the next sync adds up."""
    columns, _ = KINDS[kind]
    shop.put("sent", description="to me@example.com")
    shop.put("denied", consent="denied")
    shop.put(SECRET, **columns)
    shop.sync()
    shop.outputs.path(missing, DAY).unlink()
    (found,) = traces_of(SECRET, shop.outputs)
    (left,) = set(found.rows) & {"conversions", "invalid"}
    others = [row for row in shop.rows(left) if row["order_id"] != SECRET]

    forget_in(shop, SECRET)
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    assert shop.rows(left) == others != []
    assert not shop.outputs.path(missing, DAY).exists()
    assert shop.sync().counts.as_dict() == counted(read=3, suppressed=2, already_accepted=1)


def test_a_file_of_an_earlier_version_may_lack_a_column(shop: SandboxedShop) -> None:
    """As after an upgrade: the order goes from it all the same, and the others are as they were."""
    shop.put("a")
    shop.put(SECRET)
    shop.sync()
    path = str(shop.outputs.path("conversions", DAY))
    facts, earlier = pq.read_metadata(path).metadata, pq.read_table(path).drop_columns("event_source_url")
    with pq.ParquetWriter(path, earlier.schema) as file:
        file.write_table(earlier)
        file.add_key_value_metadata({b"xcapi.prepared": facts[b"xcapi.prepared"]})
    forget_in(shop, SECRET)
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    (kept,) = pq.read_table(path).to_pylist()
    assert {name: kept[name] for name in earlier.column_names} == earlier.to_pylist()[0]
    assert (kept["order_id"], kept["event_source_url"]) == ("a", None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_first_stage_is_reading_meanwhile_is_not_kept(
    shop: SandboxedShop, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for tombstones once more when its files are there; the file that lies aside tells nothing either."""
    columns, _ = KINDS[kind]
    shop.put_many(3)
    shop.put(SECRET, **columns)
    shop.sync()
    read = shop.read

    def forgotten_meanwhile(start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
        for batch in read(start, end):
            monkeypatch.undo()
            forget_in(shop, SECRET)
            yield batch

    monkeypatch.setattr(shop, "read", forgotten_meanwhile)
    prepared = shop.prepare()
    assert traces_of(SECRET, shop.outputs) == []
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
    assert (prepared.read, prepared.suppressed, prepared.ready) == (4, 1, 3)
    assert shop.upload().counts.as_dict() == counted(read=4, suppressed=1, already_accepted=3)


def test_what_a_first_stage_has_just_written_is_erased(shop: SandboxedShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked through after the tombstone is left: a run that ended before it knew nothing of it."""
    shop.put_many(3)
    with shop.ledger():
        pass  # it is there
    shop.put(SECRET)
    adopt = Ledger.adopt

    def just_before(ledger: Ledger, *told: Any, **more: Any) -> None:
        assert traces_of(SECRET, shop.outputs) == []
        shop.prepare()
        assert traces_of(SECRET, shop.outputs) != []
        adopt(ledger, *told, **more)

    monkeypatch.setattr(Ledger, "adopt", just_before)
    forget_in(shop, SECRET)
    assert traces_of(SECRET, shop.outputs) == []
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []


def test_what_was_copied_aside_before_it_was_erased_is_not_kept(
    shop: SandboxedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy takes a while: it may be of the file as it was, and be there after the command has looked."""
    shop.put_many(3)
    shop.put(SECRET)
    shop.sync()

    def slow_copy(partition: str, outputs: Outputs) -> None:
        content = outputs.path("conversions", partition).read_bytes()
        forget_in(shop, SECRET)
        outputs.path("superseded", partition).write_bytes(content)

    monkeypatch.setattr("xcapi_dagster.partitions.prepare.set_aside", slow_copy)
    shop.prepare()
    assert traces_of(SECRET, shop.outputs) == []
    assert [name for name, text in texts(shop.folder).items() if SECRET in text] == []
