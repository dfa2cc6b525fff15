"""Files expire by when they were written; what X accepted stays known without them."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import Shop
from xcapi_dagster.delivery.doubt import Resolution, doubts, resolve
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.errors import XConversionsError
from xcapi_dagster.partitions.purge import Keep, expired, purge, purge_details
from xcapi_dagster.sandbox import Do, Fault, Match

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TABLE = pa.table({"order_id": ["a"]})
WEEK, YEAR = timedelta(days=7), timedelta(days=365)


def written(shop: Shop, days_ago: float) -> None:
    """Let all files of the shop have been written so long ago."""
    for path in Path(str(shop.outputs.root)).rglob("*"):
        if path.is_file():
            time = (NOW - timedelta(days=days_ago)).timestamp()
            os.utime(path, (time, time))


@pytest.mark.parametrize(
    ("days_ago", "keep", "gone"),
    [
        (6.9, Keep(WEEK, None), set()),
        (7.1, Keep(WEEK, None), {"conversions"}),
        (7.1, Keep(WEEK, YEAR), {"conversions"}),
        (366, Keep(WEEK, YEAR), {"conversions", "upload_results", "rejection_report"}),
        (366, Keep(None, None), set()),
    ],
)
def test_what_expires_and_what_stays(shop: SandboxedShop, days_ago: float, keep: Keep, gone: set[str]) -> None:
    """By kind and age; then a sync of the partition sends nothing again."""
    shop.put_many(3)
    shop.sync()
    written(shop, days_ago)
    assert {path.parent.name for path in expired(shop.outputs, keep, NOW)} == gone
    purge(shop.outputs, keep, NOW)
    assert list(expired(shop.outputs, keep, NOW)) == []
    again = shop.sync()
    assert (again.counts.already_accepted, again.counts.requests) == (3, 0)
    assert len(shop.sandbox.received) == 3


def test_details_expire_and_nothing_is_forgotten(shop: SandboxedShop) -> None:
    """X's words and debug ids go, but not those of what is in doubt; each order stays in its state."""
    shop.policy = Policy(on_unknown="hold", pixel_also_fires=False)
    shop.put_many(3)
    shop.spoil("order-1", currency="ZZZ")
    shop.sync()
    shop.put("doubtful")
    shop.sandbox.script([Fault(Match(request=shop.sandbox.requests[-1].number + 1), Do(drop="after"))])
    shop.sync()
    before, details = shop.states, _details(shop)
    assert before == {"accepted": 2, "rejected": 1, "unknown": 1}
    shop.clock.sleep(WEEK.total_seconds())
    with shop.ledger() as ledger:
        assert purge_details(ledger, Keep(WEEK, WEEK)) == 0
        assert purge_details(ledger, Keep(None, None, details=2 * WEEK)) == 0
        assert _details(shop) == details
        assert purge_details(ledger, Keep(None, None, details=timedelta(days=6))) == len(details) - 1
    assert [(state, bool(message)) for state, _, message in _details(shop)] == [("unknown", True)]
    assert shop.states == before


def _left(shop: Shop) -> list[tuple[int, str]]:
    """Purge what is a day old; returns which requests still have details, in order, and their states."""
    with shop.ledger() as ledger:
        purge_details(ledger, Keep(None, None, details=timedelta(days=1)))
    with shop.database() as database, database.transaction() as connection:
        told = "SELECT id, state FROM request WHERE debug_id IS NOT NULL OR message IS NOT NULL ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(told)]


def _resolve(shop: Shop, resolution: Resolution) -> None:
    """Let an operator decide about all that is in doubt."""
    with shop.ledger() as ledger:
        resolve(ledger, doubts(ledger, shop.policy), resolution, by="ann", why="Ads Manager shows them")


@pytest.mark.parametrize("resolution", ["accepted", "lost"])
def test_details_of_what_was_in_doubt_expire_once_it_is_decided(shop: SandboxedShop, resolution: Resolution) -> None:
    """Why it was, and why it was decided so; who decided stays."""
    shop.policy = Policy(on_unknown="hold", pixel_also_fires=False)
    shop.put_many(3)
    shop.sandbox.script([Fault(Match(request=1), Do(drop="after"))])
    shop.sync()
    shop.clock.sleep(WEEK.total_seconds())
    assert _left(shop) == [(1, "unknown")]
    _resolve(shop, resolution)
    shop.clock.sleep(WEEK.total_seconds())
    assert _left(shop) == []
    with shop.database() as database, database.transaction() as connection:
        decided = connection.exec_driver_sql("SELECT parent_id, state, decided_by FROM request WHERE id = 2").all()
    assert [tuple(row) for row in decided] == [(1, resolution, "ann")]


def test_details_stay_while_a_part_is_in_doubt(shop: SandboxedShop) -> None:
    """Of three, one was taken when it was sent again, one has changed, and one is to be sent again but was not yet."""
    shop.put_many(3)
    shop.sandbox.script([Fault(Match(request=1), Do(drop="before"))])
    shop.policy = Policy(on_unknown="hold", pixel_also_fires=False)
    shop.sync()
    shop.put("order-2", value="2.00")
    shop.sync()  # 2: order-2 is held for that
    with shop.ledger() as ledger:
        first = [each for each in doubts(ledger, shop.policy) if each.request.id == 1]
        resolve(ledger, first, "resend", by="ann", why="nobody knows")  # 3
    shop.clock.sleep(WEEK.total_seconds())
    assert _left(shop) == [(1, "unknown"), (2, "held"), (3, "resend")]
    shop.sync()  # 4: the two others are accepted
    assert shop.states == {"accepted": 2, "held": 1}
    assert _left(shop) == [(1, "unknown"), (2, "held"), (4, "accepted")]
    _resolve(shop, "accepted")  # 5
    shop.clock.sleep(WEEK.total_seconds())
    assert _left(shop) == []
    assert shop.sync().counts.requests == 0


def _details(shop: Shop) -> list[tuple[str, str | None, str | None]]:
    with shop.database() as database, database.transaction() as connection:
        told = "SELECT state, debug_id, message FROM request WHERE debug_id IS NOT NULL OR message IS NOT NULL"
        return [tuple(row) for row in connection.exec_driver_sql(told)]


def test_without_files_nothing_expires(shop: SandboxedShop) -> None:
    assert purge(shop.outputs, Keep(WEEK, WEEK), NOW) == 0


def test_a_file_that_another_run_deletes_meanwhile_is_left_to_it(shop: SandboxedShop) -> None:
    """Between the listing of a folder and the look at its files, and between that look and the deletion."""
    for shop.key in ("2026-11-19", "2026-11-20", "2026-11-21"):
        shop.prepare()
    written(shop, days_ago=8)
    found = expired(shop.outputs, Keep(WEEK, None), NOW)
    assert next(found) == shop.outputs.path("conversions", "2026-11-19")
    shop.outputs.path("conversions", "2026-11-20").unlink()
    assert next(found) == shop.outputs.path("conversions", "2026-11-21")


def test_what_several_runs_delete_at_once_is_counted_once(shop: SandboxedShop) -> None:
    """The nightly runs of several days end at the same time."""
    days = [f"2026-11-{day:02}" for day in range(1, 31)]
    for day in days:
        shop.outputs.write_table("invalid", day, TABLE)
    written(shop, days_ago=8)
    together = threading.Barrier(3)

    def run() -> int:
        together.wait()
        return purge(shop.outputs, Keep(WEEK, None), NOW)

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run) for _ in range(3)]
    assert sum(each.result() for each in runs) == len(days)


@pytest.mark.parametrize(("days_ago", "gone"), [(0.9, False), (1.1, True)])
def test_what_a_killed_process_left_of_a_file_goes_after_a_day(
    shop: SandboxedShop, days_ago: float, *, gone: bool
) -> None:
    """However long files are kept: a run that begins anew writes under another name, and older versions wait in one."""
    shop.put_many(3)
    shop.sync()
    number = uuid4().hex
    left = [
        shop.outputs.path("conversions", "2026-11-19").with_name(f".2026-11-19.parquet.{number}{end}")
        for end in ("", ".all")
    ]
    left.append(shop.outputs.path("summary", "2026-11-19").with_name(f".2026-11-19.summary.json.{number}"))
    left.append(shop.outputs.own_path(f".ledger.json.{number}"))
    others = [shop.outputs.path("conversions", "x").with_name(".gitkeep"), shop.outputs.own_path(".DS_Store")]
    Path(str(shop.outputs.own_path(f".folder.{number}"))).mkdir()
    Path(str(shop.outputs.own_path(f".link.{number}"))).symlink_to("nowhere")
    for path in (*left, *others):
        path.write_bytes(b"whoever it was")
    written(shop, days_ago)
    assert set(expired(shop.outputs, Keep(None, None), NOW)) == (set(left) if gone else set())
    assert purge(shop.outputs, Keep(None, None), NOW) == (len(left) if gone else 0)
    assert [path.exists() for path in left] == [not gone] * len(left)
    assert all(path.exists() for path in others)
    assert shop.sync().counts.already_accepted == 3


def test_what_cannot_be_deleted_is_named_once_the_others_are(shop: SandboxedShop) -> None:
    """Here a folder in a file's place; of more than one, how many."""
    for shop.key in ("2026-11-18", "2026-11-21"):
        shop.prepare()
    in_the_way = [Path(str(shop.outputs.path("conversions", key))) for key in ("2026-11-19", "2026-11-20")]
    in_the_way[0].mkdir()
    for path in (*Path(str(shop.outputs.root)).rglob("*"), in_the_way[0]):
        os.utime(path, (0, 0))
    words = f"{in_the_way[0]} cannot be deleted (is a directory)"
    with pytest.raises(XConversionsError) as told:
        purge(shop.outputs, Keep(WEEK, None), NOW)
    assert str(told.value) == words
    in_the_way[1].mkdir()
    os.utime(in_the_way[1], (0, 0))
    with pytest.raises(XConversionsError) as told:
        purge(shop.outputs, Keep(WEEK, None), NOW)
    assert str(told.value) == f"{words}, and 1 more"
    assert shop.outputs.partitions("conversions") == ["2026-11-19", "2026-11-20"]
    assert shop.outputs.partitions("invalid") == []
