"""Answers that say no, nothing, or one thing and its opposite: faults 12, 13, 15 to 20 and 26 to 28."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.clocks import FrozenClock
from tests.faults.trial import Trial
from xcapi_dagster.delivery.ledger import Ledger, Wait
from xcapi_dagster.sandbox import (
    DEMO_ACCOUNT_ID,
    DEMO_EVENT_ID,
    DEMO_PIXEL_ID,
    DEMO_SIGN_UP_EVENT_ID,
    DEMO_WORLD,
    Account,
    Do,
    Fault,
    Match,
    Sandbox,
    World,
)

Try = Callable[..., Trial]


def every_request(**do: Any) -> list[Fault]:
    """X answers like this until the script ends."""
    return [Fault(Match(next=999), Do(**do))]


def the_second(**do: Any) -> list[Fault]:
    """X answers the second request like this."""
    return [Fault(Match(request=2), Do(**do))]


def mended(trial: Trial, uploads: int, **again: Any) -> None:
    """X is well again: the next run sends what is left, in so many requests, and then nothing is left."""
    trial.sandbox.script([])
    uploaded = trial.shop.sync()
    assert (uploaded.halted, uploaded.counts.requests) == (None, uploads)
    trial.judge(uploaded, {"accepted": len(trial.shop.orders)}, **again)
    trial.settles()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_fault_12_a_server_error_after_processing(attempt: Try, status: int) -> None:
    """X took them and says that it failed: in doubt, sent once more, counted once."""
    trial = attempt(batch_rows=10)
    ids = trial.shop.put_many(30)
    trial.sandbox.script(the_second(status=status, process=True))
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 4
    trial.judge(uploaded, {"accepted": 30}, again=ids[10:20])
    assert trial.sandbox.deduplicated == 30
    trial.settles()


def test_fault_13_a_503_that_asks_to_wait(attempt: Try, sleepers: Callable[[Trial], list[Any]]) -> None:
    """The answer is in doubt, and nobody sends for as long as X asks."""
    trial = attempt(batch_rows=10)
    ids = trial.shop.put_many(30)
    trial.sandbox.script(the_second(status=503, process=True, headers={"retry-after": "40"}))
    waits = sleepers(trial)
    began = trial.shop.clock()
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 30}, again=ids[10:20])
    others = [wait.seconds for wait in waits if isinstance(wait, Wait)]
    assert max(others) == pytest.approx(40.0, abs=1.0)
    third, fourth = (request.received_at - began for request in trial.sandbox.requests[2:])
    assert 40.0 <= third <= fourth
    trial.settles()


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Trial], list[Any]]:
    """Let another run ask for leave to send whenever the first one sleeps; what it is told is in the list."""

    def watch(trial: Trial) -> list[Any]:
        told: list[Any] = []
        clock = trial.shop.clock
        assert isinstance(clock, FrozenClock)
        sleep = clock.sleep

        def sleep_beside_another(seconds: float) -> None:
            with replace(trial.shop, run_id="another").ledger() as other:
                told.append(_ask(other))
            sleep(seconds)

        monkeypatch.setattr(clock, "sleep", sleep_beside_another)
        return told

    return watch


def _ask(ledger: Ledger) -> Any:
    keys = ledger.keys(["another"], ["order"])
    fingerprints = keys["high"].copy()
    known = ledger.memory.look_up(keys).heard
    return ledger.claim("another", keys, fingerprints, known, parent=None, share=1.0)


SOON, PAST, FAR = 30.0, -3600.0, 86_400.0


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 15.0, 30.0),
        ({"x-account-rate-limit-reset": PAST}, 15.0, 30.0),
        ({"x-account-rate-limit-reset": "soon"}, 15.0, 30.0),
        ({"retry-after": "-5"}, 15.0, 30.0),
        ({"x-account-rate-limit-reset": SOON}, 30.0, 46.0),
        ({"x-account-rate-limit-reset": FAR - 1}, 1200.0, 1215.0),
        ({"retry-after": "0"}, 15.0, 30.0),
        ({"retry-after": "0.1"}, 1.0, 16.0),
        ({"retry-after": "99999999"}, 1200.0, 1215.0),
    ],
    ids=["none", "past", "words", "negative", "soon", "far", "zero", "tiny", "absurd"],
)
def test_fault_15_a_429_with_strange_headers(
    attempt: Try, headers: Mapping[str, str | float], least: float, most: float
) -> None:
    """Between a second and twenty minutes are waited (and up to 15 s of spread); nothing is in doubt or rejected."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    now = trial.shop.clock()
    told = {name: value if isinstance(value, str) else str(int(now + value)) for name, value in headers.items()}
    trial.sandbox.script(the_second(status=429, headers=told))
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 30})
    assert least <= trial.sandbox.requests[2].received_at - trial.sandbox.requests[1].received_at <= most
    trial.settles()


def test_fault_15_a_reset_in_milliseconds(attempt: Try) -> None:
    """It is read as what it must be: the time in half a minute."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    reset = str(int((trial.shop.clock() + SOON) * 1000))
    trial.sandbox.script(the_second(status=429, headers={"x-account-rate-limit-reset": reset}))
    trial.judge(trial.shop.sync(), {"accepted": 30})
    assert 30.0 <= trial.sandbox.requests[2].received_at - trial.sandbox.requests[1].received_at <= 46.0


def test_fault_16_a_401_in_the_middle_of_a_run(attempt: Try) -> None:
    """The run stops; what was not sent is pending, nothing is rejected, and the next run sends the rest."""
    trial = attempt(batch_rows=10, senders=2)
    trial.shop.put_many(100)
    trial.sandbox.script([Fault(Match(request=number), Do(status=401)) for number in range(3, 99)])
    uploaded = trial.shop.sync()
    assert "X does not accept the credentials" in str(uploaded.halted)
    assert trial.posts <= 2 + 2
    trial.judge(uploaded, {"accepted": 20, "pending": 80})
    mended(trial, 8)


def test_fault_17_an_application_without_access(attempt: Try) -> None:
    """X's own 403: the run stops with what X's page says to do, and nothing is rejected."""
    application = replace(DEMO_WORLD.applications[0], has_ads_access=False)
    trial = attempt(batch_rows=10, uses_oauth=True, sandbox={"world": replace(DEMO_WORLD, applications=(application,))})
    trial.shop.put_many(30)
    uploaded = trial.shop.sync()
    assert "no access to the Ads API" in str(uploaded.halted)
    assert "generate a new access token" in str(uploaded.halted)
    trial.judge(uploaded, {"pending": 30})
    assert trial.posts == 1
    with Sandbox(clock=trial.shop.clock) as granted:
        trial.sandbox = granted
        trial.shop.api_url = granted.url
        mended(trial, 3)


@pytest.mark.parametrize(
    ("world", "told"),
    [
        (
            replace(DEMO_WORLD, accounts=(Account(DEMO_ACCOUNT_ID, {"oother1": frozenset({"oother2"})}),)),
            "X_ADS_PIXEL_ID",
        ),
        (replace(DEMO_WORLD, roles={}), "has no role on the ads account"),
    ],
    ids=["pixel", "account"],
)
def test_fault_18_a_404_of_one_pixel(attempt: Try, world: World, told: str) -> None:
    """That pixel's run stops; one of another pixel, with the same ledger, goes on."""
    trial = attempt(batch_rows=10, uses_oauth=True, sandbox={"world": world})
    trial.shop.put_many(30)
    uploaded = trial.shop.sync()
    assert told in str(uploaded.halted)
    assert trial.posts == 1
    trial.judge(uploaded, {"pending": 30})
    elsewhere = World(
        accounts=(Account(DEMO_ACCOUNT_ID, {"oother1": frozenset({"oother2"})}),),
        pixel_tokens=dict.fromkeys(DEMO_WORLD.pixel_tokens, "oother1"),
    )
    with Sandbox(elsewhere, clock=trial.shop.clock) as sandbox:
        other = Trial(
            replace(
                trial.shop, folder=trial.shop.folder / "other", pixel_id="oother1", event_id="oother2",
                api_url=sandbox.url, uses_oauth=False,
            ),
            sandbox,
        )  # fmt: skip
        other.judge(other.shop.sync(), {"accepted": 30})
    with Sandbox(clock=trial.shop.clock) as corrected:
        trial.sandbox = corrected
        trial.shop.api_url = corrected.url
        mended(trial, 3)


NOT_A_SINGLE_EVENT = replace(
    DEMO_WORLD,
    accounts=(
        Account(
            DEMO_ACCOUNT_ID,
            {DEMO_PIXEL_ID: frozenset({DEMO_SIGN_UP_EVENT_ID})},
            other_tags=frozenset({DEMO_EVENT_ID}),
        ),
    ),
)
NOBODY_S_EVENT = replace(
    NOT_A_SINGLE_EVENT, accounts=(replace(NOT_A_SINGLE_EVENT.accounts[0], other_tags=frozenset()),)
)


@pytest.mark.parametrize("world", [NOT_A_SINGLE_EVENT, NOBODY_S_EVENT], ids=["not_a_set", "of_another_account"])
def test_fault_19_the_configured_event_is_refused(attempt: Try, world: World) -> None:
    """One request and not 999: the run stops, names the setting, and rejects nothing."""
    trial = attempt(sandbox={"world": world})
    trial.shop.put_many(500)
    uploaded = trial.shop.sync()
    assert "X_ADS_EVENT_ID" in str(uploaded.halted)
    assert trial.posts == 1
    trial.judge(uploaded, {"pending": 500})


@pytest.mark.parametrize("world", [NOT_A_SINGLE_EVENT, NOBODY_S_EVENT], ids=["not_a_set", "of_another_account"])
def test_fault_19_an_event_of_rows_is_refused(attempt: Try, world: World) -> None:
    """Its orders are rejected together without a search; the others go out with the second request."""
    trial = attempt(sandbox={"world": world}, event_id=DEMO_SIGN_UP_EVENT_ID)
    trial.shop.put_many(470)
    bad = trial.shop.put_many(30, "bad", event_id=DEMO_EVENT_ID)
    uploaded = trial.shop.sync()
    assert (uploaded.halted, trial.posts) == (None, 2)
    trial.judge(uploaded, {"accepted": 470, "rejected": 30}, rejected=bad)
    assert {row["reason_code"] for row in trial.shop.rows("rejection_report")} == {"api_event_id"}
    trial.settles()


@pytest.mark.parametrize("seconds", [600.0, -600.0], ids=["behind", "ahead"])
def test_fault_20_a_clock_that_is_wrong_by_ten_minutes(attempt: Try, seconds: float) -> None:
    """X's `Date` tells by how much: signed anew once, after that all requests are signed by X's clock."""
    trial = attempt(batch_rows=10, uses_oauth=True)
    trial.shop.put_many(30)
    with Sandbox(clock=lambda: trial.shop.clock() + seconds) as x:
        trial.sandbox, trial.shop.api_url = x, x.url
        uploaded = trial.shop.sync()
        trial.judge(uploaded, {"accepted": 30})
    assert [request.status for request in x.requests] == [401, 200, 200, 200]


def test_fault_20_a_clock_that_cannot_be_corrected(attempt: Try) -> None:
    """X goes on refusing the signature's time: one request more, then the run stops and names the seconds."""
    trial = attempt(batch_rows=10, uses_oauth=True)
    trial.shop.put_many(30)
    body = '{"errors": [{"code": 135, "message": "Timestamp out of bounds."}]}'
    with Sandbox(clock=lambda: trial.shop.clock() + 600) as x:
        trial.sandbox, trial.shop.api_url = x, x.url
        x.script(every_request(status=401, body=body))
        uploaded = trial.shop.sync()
        assert "+600 s" in str(uploaded.halted)
        trial.judge(uploaded, {"pending": 30})
        assert len(x.requests) == 2
        mended(trial, 4)


CONTRADICTIONS = ["count_plus_one", "count_minus_one", "count_as_string", "errors_in_200", "other_account"]


@pytest.mark.parametrize("answer", CONTRADICTIONS)
def test_fault_26_a_success_that_contradicts_itself(attempt: Try, answer: str) -> None:
    """The run stops. The design holds these for an operator, whatever the policy for unknown ones is."""
    trial = attempt(batch_rows=10)
    ids = trial.shop.put_many(30)
    trial.sandbox.script(the_second(answer=answer))
    uploaded = trial.shop.sync()
    assert "X answered 200, but" in str(uploaded.halted)
    assert trial.posts == 2
    trial.judge(uploaded, {"accepted": 10, "held": 10, "pending": 10})
    trial.settles(keep=ids[10:20])


@pytest.mark.parametrize("answer", ["html", "empty", "truncated_json"])
def test_fault_27_a_success_that_cannot_be_read(attempt: Try, answer: str) -> None:
    """In doubt, sent once more, counted once."""
    trial = attempt(batch_rows=10)
    ids = trial.shop.put_many(30)
    trial.sandbox.script(the_second(answer=answer))
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 30}, again=ids[10:20])
    assert trial.sandbox.deduplicated == 30
    trial.settles()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_fault_28_a_redirect(attempt: Try, status: int) -> None:
    """It is not followed, nothing counts as accepted, and the run stops."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    with Sandbox(clock=trial.shop.clock) as elsewhere:
        trial.sandbox.script(every_request(status=status, headers={"location": elsewhere.url}))
        uploaded = trial.shop.sync()
        assert "redirect" in str(uploaded.halted)
        assert (trial.posts, elsewhere.requests) == (1, [])
    trial.judge(uploaded, {"pending": 30})
    mended(trial, 3)
