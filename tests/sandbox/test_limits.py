"""X's rate limits, over HTTP and with a clock that stands still. The case numbers are those of the conformance list."""

import pytest

from xcapi_dagster.sandbox import Limits

TOKEN = {"auth": None, "headers": {"X-Pixel-Token": "token-of-oka17"}}


def quota(answer) -> tuple[int, int, int]:
    """What the headers say of limit, remaining and reset."""
    return tuple(int(answer.headers[f"x-rate-limit-{name}"]) for name in ("limit", "remaining", "reset"))


def test_case_80_60001st_event(start, clock, row):
    """60,000 events fit into 15 minutes; one more gets 429 and the reset, and passes when the window is over."""
    sandbox, client = start(clock=clock)
    full = {"conversions": [row()] * 500}
    answers = [client.post(full, **TOKEN) for _ in range(120)]
    clock.now += 899.5
    refused = client.send(row(), **TOKEN)
    clock.now += 0.5
    accepted = client.send(row(), **TOKEN)

    assert {answer.status_code for answer in answers} == {200}
    assert quota(answers[0]) == (60_000, 59_500, 1_800_000_900)
    assert refused.status_code == 429
    assert [error["code"] for error in refused.json()["errors"]] == ["TOO_MANY_REQUESTS"]
    assert quota(refused) == (60_000, 0, 1_800_000_900)
    assert accepted.status_code == 200
    assert len(sandbox.received) == 60_001


def test_a_batch_that_does_not_fit_is_refused_whole(start, clock, row):
    """A request whose events do not all fit is refused and costs nothing; a smaller one still passes."""
    _, client = start(clock=clock, limits=Limits(events=3))

    assert client.send(row(), row(), **TOKEN).status_code == 200
    assert client.send(row(), row(), **TOKEN).status_code == 429
    assert client.send(row(), **TOKEN).status_code == 200


def test_window_starts_with_the_first_request(start, clock, row):
    """The window is fixed and starts with the first request it counts, whatever time that is."""
    _, client = start(clock=clock, limits=Limits(events=2, window_seconds=10))
    client.send(row(), **TOKEN)
    clock.now += 9
    client.send(row(), **TOKEN)
    clock.now += 1

    assert client.send(row(), row(), **TOKEN).status_code == 200
    assert client.send(row(), **TOKEN).status_code == 429


def test_requests_per_minute(start, clock, row):
    """The 451st request in a minute gets 429, and the headers then tell of the minute."""
    _, client = start(clock=clock)
    statuses = {client.send(row(), **TOKEN).status_code for _ in range(450)}
    refused = client.send(row(), **TOKEN)
    clock.now += 60

    assert statuses == {200}
    assert (refused.status_code, quota(refused)) == (429, (450, 0, 1_800_000_060))
    assert client.send(row(), **TOKEN).status_code == 200


def test_refused_rows_count(start, row):
    """Guess: a request that is refused for its rows has used up its events, for the limit is checked first."""
    _, client = start(limits=Limits(events=3))

    assert client.send(row(value=1), row(value=1)).status_code == 400
    assert client.send(row(), row()).status_code == 429


def test_accounts_have_their_own_limits(start, row):
    """The limit is per account: the other account's requests still pass."""
    _, client = start(limits=Limits(events=1))

    assert client.send(row()).status_code == 200
    assert client.send(row()).status_code == 429
    assert client.send(row(event_id="o87ne"), pixel="o8z6j").status_code == 200


@pytest.mark.parametrize(
    ("families", "sent"),
    [
        pytest.param((), set(), id="case-82-none"),
        pytest.param(("x-account-rate-limit",), {"x-account-rate-limit-limit", "x-account-rate-limit-remaining",
                     "x-account-rate-limit-reset"}, id="case-81-account"),
        pytest.param(("x-account-rate-limit", "x-rate-limit"),
                     {f"{family}-{name}" for family in ("x-account-rate-limit", "x-rate-limit")
                      for name in ("limit", "remaining", "reset")}, id="case-81-both"),
    ],
)  # fmt: skip
def test_header_families(start, row, families, sent):
    """X promises no header on a POST: each family is sent when asked for, on answers and refusals alike."""
    _, client = start(limits=Limits(events=1, header_families=families))
    for status in (200, 429):
        answer = client.send(row())
        assert answer.status_code == status
        assert {name.lower() for name in answer.headers if "rate-limit" in name.lower()} == sent


def test_case_93_nothing_remains(start, row):
    """The answer that takes the last event says that nothing remains."""
    _, client = start(limits=Limits(events=2))

    assert quota(client.send(row(), row()))[:2] == (2, 0)
