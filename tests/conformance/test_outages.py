"""Cases 80 to 96: limits, outages and answers that never came."""

import json
import threading
from collections import Counter
from email.utils import formatdate
from typing import Any

import pytest

from tests.ports import reserved_port
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.sandbox import Limits as XLimits

HOUR = 3600.0


def arrived(sandbox: Any) -> Counter[str]:
    """How often each conversion id was accepted."""
    return Counter(received.conversion["conversion_id"] for received in sandbox.received)


def ids(members: Any) -> Counter[str]:
    """Each conversion id, once."""
    return Counter(member["conversion_id"] for member in members)


@pytest.mark.cases((80, "documented"))
def test_sixty_thousand_events_in_fifteen_minutes(x: Any, rows: Any, clock: Any, errors_of: Any) -> None:
    """The 60,001st is refused until the window that began with the first event is over."""
    members = rows(500)
    body = json.dumps({"conversions": members})
    assert {x.send(data=body).status_code for _ in range(120)} == {200}
    answer = x.send(members[0])
    assert answer.status_code == 429
    assert [code for code, _, _ in errors_of(answer)] == ["TOO_MANY_REQUESTS"]
    assert float(answer.headers["x-rate-limit-reset"]) == clock() + 900
    clock.now += 900
    assert x.send(members[0]).status_code == 200


@pytest.mark.cases((80, "required"))
def test_our_client_waits_for_the_reset(start: Any, rows: Any, bench: Any, clock: Any) -> None:
    """A limit of X's that only its 429 tells: the run sleeps until the reset and a little longer, and loses nothing."""
    x = start(limits=XLimits(events=1_000, header_families=()))
    reset = {"x-rate-limit-reset": str(int(clock() + 900))}
    x.sandbox.script([{"match": {"request": 3}, "do": {"status": 429, "headers": reset}}])
    members = rows(1_500)
    ran = bench(x.sandbox.url).run(members)
    assert (ran.halted, ran.states, ran.posts) == (None, {"accepted": 1_500}, 4)
    assert 900 <= sum(clock.naps) <= 915
    assert arrived(x.sandbox) == ids(members)


def _reset(family: str, after: float) -> dict[str, str]:
    from_now = 1_790_000_000 + after
    return {f"{family}-limit": "100", f"{family}-remaining": "0", f"{family}-reset": f"{from_now:.0f}"}


@pytest.mark.cases(
    (81, "documented", _reset("x-rate-limit", 500) | _reset("x-account-rate-limit", 100), 100, 115),
    (81, "documented", _reset("x-rate-limit", 100) | _reset("x-account-rate-limit", 500), 500, 515),
    (82, "required", _reset("x-rate-limit", -100), 15, 30),
    (82, "required", {}, 15, 30),
    (82, "required", {"x-rate-limit-reset": "soon", "retry-after": "later"}, 15, 30),
)
def test_how_long_a_429_is_waited_out(
    case: tuple[dict[str, str], float, float], scripted: Any, accepted: Any, bench: Any, rows: Any, clock: Any
) -> None:
    """The account's reset goes before the user's; without a usable one the wait is bounded and grows."""
    headers, least, most = case
    server = scripted((429, b"", headers), accepted(20))
    assert bench(server.url).run(rows(20)).states == {"accepted": 20}
    assert least <= sum(clock.naps) <= most


@pytest.mark.cases((83, "required"))
def test_a_reset_far_ahead_ends_the_run(scripted: Any, bench: Any, rows: Any, clock: Any) -> None:
    """Two hours: one wait is capped, and then the rest is left to the next run."""
    server = scripted((429, b"", _reset("x-rate-limit", 2 * HOUR)))
    ran = bench(server.url).run(rows(20))
    assert ran.states == {"pending": 20}
    assert "run again" in str(ran.halted)
    assert max(clock.naps, default=0) <= sum(clock.naps) <= 1_800


@pytest.mark.cases(
    (84, "documented", {"retry-after": "7"}, 7, 8),
    (84, "documented", {"retry-after": formatdate(1_790_000_040, usegmt=True)}, 40, 41),
    (84, "required", {}, 0.5, 0.5),
)
def test_a_503_is_waited_out(
    case: tuple[dict[str, str], float, float], scripted: Any, accepted: Any, bench: Any, rows: Any, clock: Any
) -> None:
    """Never before X asked to be tried again, given as seconds or as a date; else half a second of at most one."""
    headers, least, most = case
    server = scripted((503, b"", headers), accepted(20))
    assert bench(server.url).run(rows(20)).states == {"accepted": 20}
    assert least <= sum(clock.naps) <= most


@pytest.mark.cases((84, "required"))
def test_pauses_grow(scripted: Any, bench: Any, rows: Any, clock: Any) -> None:
    """Without a word of X's: full jitter, which is half here, of one, two and four seconds."""
    bench(scripted((503, b"", {})).url).run(rows(20))
    assert clock.naps == [0.5, 1.0, 2.0]


@pytest.mark.cases(*((85, "required", status) for status in (408, 423, 500, 502, 504)))
def test_what_may_pass_is_tried_again(case: int, scripted: Any, accepted: Any, bench: Any, rows: Any) -> None:
    """The same bytes under a new signature."""
    server = scripted((case, b"", {}), accepted(20))
    assert bench(server.url).run(rows(20)).states == {"accepted": 20}
    first, second = server.seen
    assert first.body == second.body
    assert first.headers["authorization"] != second.headers["authorization"]


@pytest.mark.cases((85, "required", 501), (85, "required", 505))
def test_what_cannot_pass_is_not(case: int, scripted: Any, bench: Any, rows: Any) -> None:
    """Whatever answers so will not do it the next time either: one request, and the message says where to look."""
    server = scripted((case, b"", {}))
    ran = bench(server.url).run(rows(1_000))
    assert (ran.posts, ran.states) == (1, {"pending": 1_000})
    assert "X_ADS_API_URL" in str(ran.halted)


@pytest.mark.cases((86, "required"))
def test_an_answer_that_is_lost(x: Any, bench: Any, rows: Any) -> None:
    """X has stored the rows: they are unknown, then sent once more with the same ids, and X counts each once."""
    members = rows(20)
    x.sandbox.script([{"match": {"request": 1}, "do": {"drop": "after"}}])
    runs = bench(x.sandbox.url)
    assert runs.run(members, on_unknown="hold").states == {"unknown": 20}
    ran = runs.run(members)
    assert (ran.states, ran.posts) == ({"accepted": 20}, 1)
    assert set(arrived(x.sandbox).values()) == {2}
    assert x.sandbox.deduplicated == 20


@pytest.mark.cases((87, "required"))
def test_a_connection_that_fails_before_the_request(start: Any, bench: Any, rows: Any) -> None:
    """Nothing was sent, so it is tried again; here X comes up while our client waits."""
    up: list[Any] = []
    with reserved_port() as port:
        bench = bench(f"http://127.0.0.1:{port}", on_sleep=lambda: up or up.append(start(port=port).sandbox))
        ran = bench.run(rows(20))
    assert (ran.halted, ran.states) == (None, {"accepted": 20})
    assert set(arrived(up[0]).values()) == {1}


@pytest.mark.cases((88, "required"))
def test_what_was_not_sent_is_pending_and_follows(x: Any, bench: Any, rows: Any) -> None:
    """Retries are exhausted: the run fails, and the next one sends the rest and nothing twice."""
    members = rows(1_000)
    runs = bench(x.sandbox.url)
    assert runs.run(members[:500]).states == {"accepted": 500}
    with reserved_port() as port:
        runs.url = f"http://127.0.0.1:{port}"
        ran = runs.run(members)
    assert ran.states == {"accepted": 500, "pending": 500}
    assert "could not be reached" in str(ran.halted)
    runs.url = x.sandbox.url
    assert runs.run(members).states == {"accepted": 1_000}
    assert arrived(x.sandbox) == ids(members)


@pytest.mark.cases(
    (89, "required", {"answer": "count_minus_one"}, "held"),
    (90, "required", {"answer": "errors_in_200"}, "held"),
    (91, "required", {"answer": "html"}, "unknown"),
    (91, "required", {"answer": "empty"}, "unknown"),
    (91, "required", {"answer": "truncated_json"}, "unknown"),
    (92, "required", {"answer": "count_as_string"}, "held"),
    (92, "required", {"status": 200, "process": True, "body": '{"data": {"conversions_processed": true}}'}, "held"),
)
def test_a_success_that_is_none(case: tuple[dict[str, Any], str], x: Any, bench: Any, rows: Any) -> None:
    """It is not called accepted, and what contradicts itself is sent again by nobody, in this run or the next."""
    do, state = case
    x.sandbox.script([{"match": {"request": 1}, "do": do}])
    runs = bench(x.sandbox.url)
    ran = runs.run(rows(20), on_unknown="hold")
    assert (ran.states, ran.posts) == ({state: 20}, 1)
    assert (ran.halted is not None) is (state == "held")
    assert runs.run(rows(20), on_unknown="hold").posts == 0


@pytest.mark.cases((93, "documented"))
def test_nothing_remains(x: Any, bench: Any, rows: Any, clock: Any) -> None:
    """A 200 that says so: the next request waits for the new window."""
    x.sandbox.script([{"match": {"request": 1}, "do": {"headers": _reset("x-account-rate-limit", 100)}}])
    assert bench(x.sandbox.url).run(rows(1_000)).states == {"accepted": 1_000}
    first, second = x.sandbox.requests
    assert second.received_at - first.received_at >= 100
    assert sum(clock.naps) <= 130


@pytest.mark.cases((94, "required"))
def test_a_request_that_is_too_large_is_halved(start: Any, bench: Any, rows: Any) -> None:
    """As often as it takes, and every conversion arrives once."""
    x, members = start(max_body_bytes=1_000), rows(64)
    ran = bench(x.sandbox.url).run(members)
    assert (ran.halted, ran.states) == (None, {"accepted": 64})
    assert arrived(x.sandbox) == ids(members)


@pytest.mark.cases((94, "required"))
def test_halving_ends_with_one(start: Any, bench: Any, rows: Any) -> None:
    """A conversion that is too large alone is rejected, and its neighbours are not."""
    x = start(max_body_bytes=1_000)
    ran = bench(x.sandbox.url).run(rows(8, at_5={"description": "x" * 1_000}))
    assert ran.states == {"accepted": 7, "rejected": 1}
    assert ran.state[5] == "rejected"


@pytest.mark.cases((95, "guess"))
def test_after_two_days_an_operator_decides(x: Any, bench: Any, rows: Any, clock: Any) -> None:
    """Whether X still deduplicates then is a guess: we stop four hours earlier, and hold what is in doubt."""
    x.sandbox.script([{"match": {"request": 1}, "do": {"drop": "after"}}])
    runs = bench(x.sandbox.url)
    assert runs.run(rows(20), on_unknown="hold").states == {"unknown": 20}
    clock.now += 48 * HOUR
    ran = runs.run(rows(20))
    assert (ran.posts, ran.states) == (0, {"held": 20})


@pytest.mark.cases((96, "required"))
def test_two_workers_share_one_limit(start: Any, bench: Any, rows: Any) -> None:
    """Together they stay below X's limit: it never has to refuse, and everything arrives once."""
    x = start(limits=XLimits(events=1_000))
    members = rows(3_000)
    runs = [bench(x.sandbox.url, limits=Limits(events=1_000, requests=400), runs=10 * n) for n in range(2)]
    halves = (members[:1_500], members[1_500:])
    threads = [threading.Thread(target=run.run, args=(half,)) for run, half in zip(runs, halves, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {request.status for request in x.sandbox.requests} == {200}
    assert arrived(x.sandbox) == ids(members)
