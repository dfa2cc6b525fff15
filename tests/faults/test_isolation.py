"""Refusals that name no row: only the rows at fault are rejected, for few requests. Faults 21 to 25."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.faults.trial import Trial
from xcapi_dagster.delivery.doubt import doubts, resolve
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.partitions.repair import lost_for, reopen
from xcapi_dagster.sandbox import Do, Fault, Match, Rules

Try = Callable[..., Trial]

SILENT = {"rules": Rules(echo_values=False)}
CANARY = "canary.person@example.org"


def judge(trial: Trial, bad: Sequence[str]) -> None:
    """All good orders were accepted once and the bad ones rejected; another run does nothing."""
    uploaded = trial.shop.sync()
    assert uploaded.halted is None
    good = len(trial.shop.orders) - len(bad)
    trial.judge(uploaded, {"accepted": good, "rejected": len(bad)}, rejected=bad)
    trial.settles()


def reasons(trial: Trial) -> Counter[tuple[str, str]]:
    """Why and how rows were rejected, by the report."""
    return Counter((row["reason_code"], row["isolated_by"]) for row in trial.shop.rows("rejection_report"))


def refusing(order_id: str, *messages: str, code: str = "INVALID_PARAMETER", parameter: str | None = None) -> Fault:
    """X refuses every request with this order, in these words."""
    errors = [
        {"code": code, "message": message} | ({"parameter": parameter} if parameter else {}) for message in messages
    ]
    return Fault(Match(conversion_id=order_id), Do(status=400, body=json.dumps({"errors": errors})))


@pytest.mark.parametrize("position", [0, 250, 499])
def test_fault_21_one_bad_row_whose_value_is_echoed(attempt: Try, position: int) -> None:
    """Two requests: the refused one, and the other 499."""
    trial = attempt()
    trial.shop.put_many(500)
    trial.shop.spoil(f"order-{position}", hashed_email="no-hash")
    judge(trial, [f"order-{position}"])
    assert [request.conversions for request in trial.sandbox.requests] == [500, 499]
    assert reasons(trial) == {("api_hashed_email", "echoed_value"): 1}


def test_fault_22_a_message_without_value_is_met_by_the_local_rule(attempt: Try) -> None:
    """X says that a row has no identifier and not which: that is seen in the rows themselves. Two requests."""
    trial = attempt()
    trial.shop.put_many(500)
    trial.shop.spoil("order-321", hashed_email=" ")
    judge(trial, ["order-321"])
    assert trial.posts == 2
    assert reasons(trial) == {("api_identifiers", "local_rule"): 1}


@pytest.mark.parametrize("position", [0, 321, 499])
def test_fault_22_a_message_without_value_is_searched_for(attempt: Try, position: int) -> None:
    """Halving finds one row in 500 with 19 requests at most."""
    trial = attempt(sandbox=SILENT)
    trial.shop.put_many(500)
    trial.shop.spoil(f"order-{position}", hashed_email="no-hash")
    judge(trial, [f"order-{position}"])
    assert trial.posts <= 19
    assert reasons(trial) == {("api_hashed_email", "bisection"): 1}


@pytest.mark.parametrize(
    "limits",
    [Limits(events=60_000, requests=5), Limits(events=100, requests=400)],
    ids=["requests", "events"],
)
def test_fault_22_a_search_counts_against_the_limit(attempt: Try, limits: Limits) -> None:
    """Each of its requests is one, however small, and its events count as often as they are sent."""
    trial = attempt(sandbox=SILENT, limits=limits)
    trial.shop.put_many(64)
    trial.shop.spoil("order-20", hashed_email="no-hash")
    judge(trial, ["order-20"])
    assert trial.posts == 13  # one of 64, and two for each of six halvings
    assert trial.busiest(60.0) <= limits.requests
    assert trial.busiest(900.0, lambda request: request.conversions) <= limits.events


@pytest.mark.parametrize("merge_errors", [False, True], ids=["doubled", "merged"])
@pytest.mark.parametrize("echo_values", [True, False], ids=["echoed", "silent"])
def test_fault_23_counts_of_errors_say_nothing(attempt: Try, *, merge_errors: bool, echo_values: bool) -> None:
    """Two errors for one row, and one error for three rows: the same four rows are rejected, and no good one."""
    trial = attempt(sandbox={"rules": Rules(merge_errors=merge_errors, echo_values=echo_values)})
    trial.shop.put_many(100)
    bad = ["order-3", "order-50", "order-51", "order-99"]
    for order_id in bad:
        trial.shop.spoil(order_id, hashed_email="no-hash")
    trial.shop.spoil("order-3", hashed_email="no-hash", hashed_phone_number="no-hash-either")
    judge(trial, bad)
    assert trial.posts <= (2 if echo_values else 40)


@pytest.mark.parametrize("sandbox", [{}, SILENT], ids=["echoed", "silent"])
def test_fault_24_every_row_is_bad(attempt: Try, sandbox: dict[str, Rules]) -> None:
    """A mistake in the query and not in rows: at most 40 requests, then the run stops and says which rule."""
    trial = attempt(sandbox=sandbox)
    for order_id in trial.shop.put_many(2_000):
        trial.shop.spoil(order_id, hashed_email="no-hash")
    uploaded = trial.shop.sync()
    assert "api_hashed_email" in str(uploaded.halted)
    assert trial.posts <= 40
    assert uploaded.counts.rejected + uploaded.counts.pending == 2_000
    assert uploaded.counts.add_up
    assert trial.arrived == Counter()


def test_fault_24_many_rows_are_bad(attempt: Try) -> None:
    """A fifth of them are bad orders, one more than that is a mistake: the run stops at once and says in which rule."""
    trial = attempt()
    bad = trial.shop.put_many(100, "bad")
    trial.shop.put_many(400, "good")
    for order_id in bad:
        trial.shop.spoil(order_id, hashed_email="no-hash")
    judge(trial, bad)
    worse = trial.shop.put_many(101, "worse")
    trial.shop.put_many(899, "better")
    for order_id in worse:
        trial.shop.spoil(order_id, hashed_email="no-hash")
    uploaded = trial.shop.sync()
    assert "X rejected 101 of 500 conversions, most of them as api_hashed_email" in str(uploaded.halted)
    trial.judge(uploaded, {"accepted": 400, "rejected": 201, "pending": 899}, rejected=[*bad, *worse])


def test_fault_25_an_unknown_message_about_everything(attempt: Try) -> None:
    """Words that X does not document, whatever is sent: few requests, nothing rejected, no value of theirs kept."""
    trial = attempt()
    trial.shop.put_many(500)
    words = f"The campaign of {CANARY} has no budget"
    errors = {"errors": [{"code": "BUDGET", "message": words}]}
    trial.sandbox.script([Fault(Match(next=999), Do(status=400, body=json.dumps(errors)))])
    uploaded = trial.shop.sync()
    assert "has no budget" in str(uploaded.halted)
    assert trial.posts <= 40
    trial.judge(uploaded, {"pending": 500})
    judge_redacted(trial)
    trial.sandbox.script([])
    judge(trial, [])


def test_fault_25_an_unknown_message_about_too_many_rows(attempt: Try) -> None:
    """At most 40 requests for a batch; what is left is held together, and later runs search on in smaller batches."""
    trial = attempt()
    trial.shop.put_many(500)
    bad = [f"order-{position}" for position in (5, 60, 130, 200, 270, 340, 410, 480)]
    trial.sandbox.script([refusing(each, f"{each} of {CANARY} is not to our liking", code="TASTE") for each in bad])
    uploaded = trial.shop.sync()
    assert trial.posts <= 40
    assert uploaded.counts.pending > 0
    assert {row["reason_code"] for row in trial.shop.rows("upload_results") if row["state"] == "pending"} == {
        "api_group_held"
    }
    judge_redacted(trial)
    for _ in range(8):
        if not trial.shop.sync().counts.pending:
            break
    trial.judge(None, {"accepted": 492, "rejected": 8}, rejected=bad)
    judge_redacted(trial)
    trial.settles()


def judge_redacted(trial: Trial) -> None:
    """The value in X's message is in no file."""
    for path in trial.shop.folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    for kind in ("upload_results", "requests", "rejection_report"):
        assert CANARY not in str(trial.shop.rows(kind))


def test_what_was_in_doubt_before_x_refused_it_is_sent_once_it_is_mended(attempt: Try) -> None:
    """It was in the request without an answer as well, so that X has it from neither: nobody needs to decide."""
    trial = attempt()
    trial.shop.put_many(3)
    trial.shop.spoil("order-1", currency="EURO")
    trial.sandbox.script([Fault(Match(request=1), Do(drop="before"))])
    trial.judge(trial.shop.sync(), {"accepted": 2, "rejected": 1}, rejected=["order-1"])
    trial.shop.spoiled.clear()
    trial.shop.put("order-1", value="2.00")
    trial.judge(trial.shop.sync(), {"accepted": 3})
    trial.settles()


def test_what_may_have_arrived_before_x_refused_its_event_is_not_opened_again(attempt: Try) -> None:
    """X had it, the answer was lost, and the event tag went: nobody but an operator may send it a second time."""
    trial = attempt()
    trial.shop.put_many(2)
    trial.shop.put("order-9", event_id="osignup")
    trial.sandbox.script(
        [
            Fault(Match(request=1), Do(drop="after")),
            refusing(
                "order-9",
                "event_id (osignup) does not belong to provided account",
                code="NOT_FOUND",
                parameter="event_id",
            ),
        ]
    )
    trial.shop.sync()
    assert (trial.arrived["order-9"], trial.shop.states) == (1, {"accepted": 2, "rejected": 1})
    trial.sandbox.script([])
    with trial.shop.ledger() as ledger:
        lost = lost_for("api_event_id", [trial.shop.key], trial.shop.outputs)
        assert [each.orders for each in lost] == [{"order-9"}]
        assert reopen("api_event_id", lost, ledger, trial.shop.outputs, by="ann", why="the tag is back") == 0
    trial.shop.put("order-9", event_id="osignup", value="9.99")
    trial.shop.sync()
    assert (trial.arrived["order-9"], trial.shop.states) == (1, {"accepted": 2, "held": 1})


def test_what_was_to_be_sent_once_more_is_opened_again_as_that(attempt: Try) -> None:
    """Released two days later, refused for its event tag, opened again: it is as old as ever, and sent but once."""
    trial = attempt()
    trial.shop.put("order-9", event_id="osignup")
    trial.sandbox.script([Fault(Match(conversion_id="order-9"), Do(drop="after"))])
    trial.shop.sync()
    trial.shop.clock.sleep(50 * 3600)
    with trial.shop.ledger() as ledger:
        resolve(ledger, doubts(ledger, trial.shop.policy), "resend", by="ann", why="once more")
    message = "event_id (osignup) does not belong to provided account"
    trial.sandbox.script([refusing("order-9", message, code="NOT_FOUND", parameter="event_id")])
    trial.shop.sync()
    assert trial.shop.states == {"rejected": 1}
    trial.sandbox.script([Fault(Match(conversion_id="order-9"), Do(drop="after"))])
    before = trial.arrived["order-9"]
    with trial.shop.ledger() as ledger:
        lost = lost_for("api_event_id", [trial.shop.key], trial.shop.outputs)
        assert reopen("api_event_id", lost, ledger, trial.shop.outputs, by="ann", why="the tag is back") == 1
    trial.shop.sync()
    assert (trial.arrived["order-9"] - before, trial.shop.states) == (1, {"held": 1})
