"""Both stages of a partition: the counts add up, and the files say so, whatever happens to orders in doubt."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from xcapi_dagster.delivery.doubt import doubts, resolve
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.errors import LedgerError, XConversionsError
from xcapi_dagster.partitions import upload
from xcapi_dagster.partitions.relearn import relearn
from xcapi_dagster.partitions.stamp import read_stamp
from xcapi_dagster.partitions.upload import write_results
from xcapi_dagster.reports.counts import Counts

Shop = Any  # of conftest


def lose_the_answer(shop: Shop, *, processed: bool) -> None:
    """X takes the next requests, or does not, and its answer never comes; the run gives up."""
    drop = "after" if processed else "before"
    shop.sandbox.script([{"match": {"next": 4}, "do": {"drop": drop}}])


def what_became(shop: Shop) -> dict[str, tuple[str, str | None]]:
    """State and reason of each order in the results."""
    return {row["order_id"]: (row["state"], row["reason_code"]) for row in shop.rows("upload_results")}


def counted(**counts: int) -> dict[str, int]:
    """The counts, zeros where nothing is given."""
    return Counts(**counts).as_dict()


def test_results_are_of_the_files_of_one_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run puts others in their place meanwhile, with orders that came late: it tells of those itself."""
    shop.put("ready")
    shop.put("wrong", value="-1")
    shop.prepare()

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.undo()
        shop.put("late")
        shop.put("wrong too", value="-1")
        shop.prepare()
        return unsent(*arguments)

    unsent = upload._unsent
    monkeypatch.setattr(upload, "_unsent", meanwhile)
    uploaded = shop.upload()
    assert uploaded.counts.as_dict() == counted(read=2, invalid=1, accepted=1, requests=1)
    assert shop.sync().counts.as_dict() == counted(read=4, invalid=2, already_accepted=1, accepted=1, requests=1)


def test_an_unknown_order_that_must_not_be_sent_any_more_is_held(shop: Shop) -> None:
    """Suppressed, invalid, changed: each is held instead, in counts, results and report; the rest is resent."""
    for name in ("same", "suppressed", "invalid", "changed"):
        shop.put(name)
    lose_the_answer(shop, processed=True)
    assert shop.sync().counts.as_dict() == counted(read=4, unknown=4, requests=4)
    shop.put("suppressed", consent="denied")
    shop.put("invalid", value="-1")
    shop.put("changed", value="2.00")
    shop.put("denied", consent="denied")
    uploaded = shop.sync()
    assert uploaded.counts.as_dict() == counted(read=5, suppressed=1, held=3, accepted=1, requests=1)
    assert uploaded.counts.add_up
    assert what_became(shop) == {
        "same": ("accepted", None),
        "suppressed": ("held", "unknown_outcome"),
        "invalid": ("held", "unknown_outcome"),
        "changed": ("held", "unknown_outcome"),
    }
    report = {(row["order_id"], row["reason_code"], row["detail"]) for row in shop.rows("rejection_report")}
    assert {
        ("suppressed", "consent_denied", "6 characters: letters"),
        ("suppressed", "unknown_outcome", "the order can no longer be sent, or is no longer in its partition"),
        ("changed", "unknown_outcome", "the order has changed since it was sent"),
    } <= report
    assert shop.sync().counts.as_dict() == counted(read=5, suppressed=1, held=3, already_accepted=1)


def test_an_unknown_order_that_vanished_is_held(shop: Shop) -> None:
    """It is not read any more, so it is in no count; the list of what is held has it."""
    shop.put("a")
    shop.put("b")
    lose_the_answer(shop, processed=False)
    shop.sync()
    shop.remove("b")
    assert shop.sync().counts.as_dict() == counted(read=1, accepted=1, requests=1)
    with shop.ledger() as ledger:
        (doubt,) = doubts(ledger, shop.policy)
    assert (doubt.conversions, doubt.request.partition) == (1, shop.key)
    shop.put("b")
    assert shop.sync().counts.as_dict() == counted(read=2, already_accepted=1, held=1)
    assert sorted(shop.sent) == ["a"]


def test_an_order_that_is_to_be_sent_once_more_and_must_not_be_is_held_again(shop: Shop) -> None:
    """X may have it all the same: it is neither lost nor withheld, and the operator has to say something else."""
    for name in ("same", "suppressed", "invalid", "gone"):
        shop.put(name)
    lose_the_answer(shop, processed=True)
    shop.sync()
    shop.put("suppressed", consent="denied")
    shop.put("invalid", value="-1")
    shop.remove("gone")
    shop.policy = Policy(on_unknown="hold", pixel_also_fires=False)
    with shop.ledger() as ledger:
        resolve(ledger, doubts(ledger, shop.policy), "resend", by="ann@shop", why="once more")
    assert shop.sync().counts.as_dict() == counted(read=3, held=2, accepted=1, requests=1)
    with shop.ledger() as ledger:
        held = doubts(ledger, shop.policy)
        assert sum(doubt.conversions for doubt in held) == 3
        resolve(ledger, held, "accepted", by="ann@shop", why="Ads Manager shows them")
    assert shop.sync().counts.as_dict() == counted(read=3, changed=2, already_accepted=1)


@pytest.mark.parametrize(
    ("resolution", "count", "copies"),
    [("accepted", "already_accepted", 1), ("lost", "accepted", 2), ("resend", "accepted", 2)],
)
def test_an_operator_s_word_is_carried_out_by_the_next_sync(
    shop: Shop, resolution: Any, count: str, copies: int
) -> None:
    """Under `hold` nothing is sent until somebody decides; then exactly that happens, once."""
    shop.policy = Policy(on_unknown="hold", pixel_also_fires=False)
    shop.put("a")
    lose_the_answer(shop, processed=True)
    assert shop.sync().counts.as_dict() == counted(read=1, unknown=1, requests=1)
    shop.sandbox.script([])
    assert shop.sync().counts.as_dict() == counted(read=1, unknown=1)
    with shop.ledger() as ledger:
        resolve(ledger, doubts(ledger, shop.policy), resolution, by="ann@shop", why="seen")
    assert getattr(shop.sync().counts, count) == 1
    assert shop.sync().counts.as_dict() == counted(read=1, already_accepted=1)
    assert shop.sent == ["a"] * copies
    (row,) = shop.rows("upload_results")
    assert row["state"] == "accepted"
    decisions = [row for row in shop.rows("requests") if row["decided_by"]]
    assert [(row["state"], row["message"]) for row in decisions] == [(resolution, "seen")]


def test_results_can_be_written_anew_without_sending(shop: Shop) -> None:
    """The files come from the ledger: deleted, they are written again, byte for byte, and nothing is sent."""
    shop.put("a")
    shop.put("b", consent="denied")
    shop.sync()
    paths = [shop.outputs.path(kind, shop.key) for kind in ("upload_results", "rejection_report", "rejection_csv")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    with shop.ledger() as ledger:
        assert write_results(shop.key, ledger, shop.policy, shop.outputs).counts.add_up
    assert [path.read_bytes() for path in paths] == before
    assert shop.sent == ["a"]


def test_the_files_say_which_ledger_wrote_them(shop: Shop) -> None:
    """And how far it had come, so that a copy from before is found out."""
    shop.put("a")
    shop.sync()
    first = read_stamp(shop.outputs)
    shop.put("b")
    shop.sync()
    second = read_stamp(shop.outputs)
    with shop.database() as database:
        assert first.ledger_id == second.ledger_id == database.id
        assert first.revision < second.revision <= database.stamp().revision


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"{", b"[]", b'{"ledger_id": "x"}'])
def test_a_file_that_names_no_ledger_is_refused(shop: Shop, content: bytes) -> None:
    """Whatever became of it: the line says what to do."""
    shop.outputs.write_own("ledger.json", "")
    shop.outputs.own_path("ledger.json").write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.json does not say which ledger wrote the files beside it"):
        read_stamp(shop.outputs)


def test_a_new_ledger_learns_from_the_files_what_was_accepted(shop: Shop) -> None:
    """After the ledger was lost nothing that X accepted is sent again; what was in doubt is held."""
    for number in range(3):
        shop.put(f"taken-{number}")
    shop.sync()
    shop.put("doubtful")
    lose_the_answer(shop, processed=False)
    shop.sync()
    shop.put("taken-0", value="5.00")  # changed after acceptance
    shop.sandbox.script([{"match": {"next": 9}, "do": {"drop": "before"}}])
    shop.sync()
    shop.sandbox.script([])
    shop.forget_ledger()
    with shop.ledger() as ledger:
        assert relearn(ledger, shop.outputs, by="ann@shop", why="the disk broke") == (3, 1)
        assert relearn(ledger, shop.outputs, by="ann@shop", why="again") == (0, 0)
    shop.put("new")
    counts = shop.sync().counts.as_dict()
    assert counts == counted(read=5, already_accepted=3, held=1, accepted=1, requests=1)
    assert sorted(shop.sent) == ["new", "taken-0", "taken-1", "taken-2"]


def test_a_new_ledger_learns_from_the_files_how_old_a_doubt_is(shop: Shop) -> None:
    """Sent once more by an operator's word, two days after it was first sent: no policy lets it be sent again."""
    shop.put("doubtful")
    lose_the_answer(shop, processed=True)
    shop.sync()
    first_sent_at = shop.clock()
    shop.forget_ledger()
    shop.clock.sleep(50 * 3600)
    with shop.ledger() as ledger:
        assert relearn(ledger, shop.outputs, by="ann@shop", why="the disk broke") == (0, 1)
        (doubt,) = doubts(ledger, shop.policy)
        assert doubt.request.first_sent_at <= first_sent_at
        resolve(ledger, [doubt], "resend", by="ann@shop", why="once more")
    lose_the_answer(shop, processed=True)
    assert shop.sync().counts.as_dict() == counted(read=1, held=1, requests=1)


def test_an_old_copy_of_the_ledger_learns_how_what_it_saw_begin_ended(shop: Shop) -> None:
    """The copy was made while requests were in doubt; later they were accepted, or X contradicted itself."""
    shop.put("doubtful")
    lose_the_answer(shop, processed=True)
    shop.sync()
    ledger = shop.folder / "ledger" / "ledger.db"
    copy = ledger.with_name("copy.db")
    with closing(sqlite3.connect(ledger)) as now, closing(sqlite3.connect(copy)) as old:
        now.backup(old)
    shop.sync()
    shop.put("contradicted")
    lose_the_answer(shop, processed=True)
    shop.sync()
    copy.replace(ledger)
    with shop.ledger() as restored:
        assert relearn(restored, shop.outputs, by="ann@shop", why="the disk broke") == (1, 1)
    posts = len(shop.sandbox.requests)
    assert shop.sync().counts.as_dict() == counted(read=2, already_accepted=1, held=1)
    assert len(shop.sandbox.requests) == posts


def test_an_interrupted_run_writes_what_became_of_the_orders(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between two batches: what was answered is in the files before the run ends."""
    shop.put("a")
    shop.put("b")
    from xcapi_dagster.delivery.deliver import Delivery  # noqa: PLC0415

    deliver = Delivery.deliver

    def interrupted(self: Delivery, *arguments: Any) -> None:
        deliver(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Delivery, "deliver", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.sync()
    assert what_became(shop) == {"a": ("accepted", None), "b": ("accepted", None)}


def test_what_x_accepted_is_not_lost_whatever_becomes_of_its_row(shop: Shop) -> None:
    """A query that lost a column, or consent that was withdrawn: X has the order, so it is changed, and only that."""
    for name in ("same", "withdrawn", "broken"):
        shop.put(name)
    shop.sync()
    shop.put("withdrawn", consent="denied")
    shop.put("broken", value="-1", description="to me@example.com")
    shop.put("unsent", value="-1")
    uploaded = shop.sync()
    assert uploaded.counts.as_dict() == counted(read=4, invalid=1, changed=2, already_accepted=1)
    assert {state: worth.orders for state, worth in uploaded.summary.states.items()} == {
        "accepted": 1,
        "changed": 2,
        "invalid": 1,
    }
    assert [(row["order_id"], row["state"]) for row in shop.rows("upload_results")] == [
        ("withdrawn", "changed"),
        ("broken", "changed"),
        ("same", "accepted"),
    ]
    told = {(row["order_id"], row["reason_code"]): row["detail"] for row in shop.rows("rejection_report")}
    assert told.keys() == {
        ("unsent", "negative_value"),
        ("withdrawn", "changed_after_acceptance"),
        ("broken", "changed_after_acceptance"),
    }
    assert told["withdrawn", "changed_after_acceptance"].endswith("not be sent: consent_denied")
    assert told["broken", "changed_after_acceptance"].endswith("not be sent: negative_value")
    shop.put("withdrawn")
    shop.put("broken")
    assert shop.sync().counts.as_dict() == counted(read=4, invalid=1, already_accepted=3)
    assert sorted(shop.sent) == ["broken", "same", "withdrawn"]


@pytest.mark.parametrize("kind", ["conversions", "invalid"])
def test_a_file_that_expired_is_named_and_nothing_is_sent(shop: Shop, kind: Any) -> None:
    """With what brings it back."""
    shop.put("a")
    shop.prepare()
    shop.outputs.path(kind, shop.key).unlink()
    told = f"{shop.outputs.path(kind, shop.key)} is missing, .*: materialize purchases/conversions of {shop.key} first"
    with pytest.raises(XConversionsError, match=told):
        shop.upload()
    assert shop.sandbox.requests == []
    shop.sync()
    assert shop.sent == ["a"]
