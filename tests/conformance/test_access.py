"""Cases 61 to 79: credentials, roles, addresses and redirects; what is refused there is nobody's row."""

import logging
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.user_access import user_access
from xcapi_dagster.errors import ConfigurationError

Row = Callable[..., dict[str, Any]]
ErrorsOf = Callable[..., list[tuple[str, str | None, str]]]

NOT_AUTHENTICATED = ("UNAUTHORIZED_ACCESS", None, "This request is not properly authenticated")
WITHOUT_ACCESS = "The client application making this request does not have access to Twitter Ads API"
WITH_ID = WITHOUT_ACCESS.replace("application", "application with id 16489123")
RECEIPT = {"user": "2417045708", "account": "18ce55gze09"}


def keys(token: str = "token", consumer: str = "key") -> OAuth1:
    """The client's credentials for an access token of the sandbox's world."""
    return OAuth1(consumer, f"{consumer}-secret", token, f"{token}-secret")


def ends(bench: Any, rows: Any, *, posts: int = 1) -> str:
    """Why a run of ours stops: after so many requests, with everything pending."""
    ran = bench.run(rows(20))
    assert (ran.posts, ran.states) == (posts, {"pending": 20})
    assert ran.halted is not None
    assert not any(word in ran.halted for word in RECEIPT.values())
    return str(ran.halted)


@pytest.mark.cases(
    (61, "observed", {"auth": None}),
    (61, "observed", {"auth": None, "headers": {"Authorization": "OAuth nonsense"}}),
    (61, "observed", {"auth": None, "headers": {"Authorization": "Bearer token"}}),
)
def test_no_credentials(case: dict[str, Any], x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """X's 401, as others saw it."""
    answer = x.send(row(), **case)
    assert (answer.status_code, errors_of(answer)) == (401, [NOT_AUTHENTICATED])


@pytest.mark.cases(
    (61, "required", (401, "UNAUTHORIZED_ACCESS", "This request is not properly authenticated"), "credentials"),
    (61, "required", (400, 215, "Bad Authentication data."), "credentials"),
    (65, "required", (401, 89, "Invalid or expired token."), "revoked or has expired"),
    (65, "required", (403, 89, "Invalid or expired token."), "revoked or has expired"),
    (66, "required", (403, "UNAUTHORIZED_CLIENT_APPLICATION", WITHOUT_ACCESS), "no access to the Ads API"),
    (66, "required", (403, "UNAUTHORIZED_CLIENT_APPLICATION", WITH_ID), "no access to the Ads API"),
    (67, "required", (403, "READONLY_CLIENT_APPLICATION", "No"), "may only read"),
    (67, "required", (403, 261, "Application cannot perform write actions."), "may only read"),
    (70, "required", (404, "NOT_FOUND", "Gone"), "X_ADS_PIXEL_ID"),
    (71, "required", (404, "ROUTE_NOT_FOUND", "The requested resource could not be found"), "X_ADS_PIXEL_ID"),
    (73, "required", (404, "INVALID", "Version 9 is not available."), "upgrade xcapi-dagster"),
    (73, "required", (410, "INVALID", "Version 9 is not available."), "upgrade xcapi-dagster"),
)
def test_our_client_asks_once_and_says_what_to_mend(
    case: tuple[tuple[int, Any, str], str], scripted: Any, refused: Any, bench: Any, rows: Any
) -> None:
    """However X words it: one request, no row rejected, and the setting or the person that it takes."""
    answer, mend = case
    assert mend in ends(bench(scripted(refused(*answer)).url), rows)


@pytest.mark.cases((62, "documented"))
def test_a_wrong_signature(x: Any, row: Row, bench: Any, rows: Any, errors_of: ErrorsOf) -> None:
    """Another secret than the one X has: its gateway's 32, and our client stops."""
    answer = x.send(row(), auth=x.sign(x.keys(client_secret="another")))
    assert (answer.status_code, errors_of(answer)) == (401, [("32", None, "Could not authenticate you.")])
    wrong = OAuth1("key", "another", "token", "token-secret")
    assert "X_ADS_CONSUMER_SECRET" in ends(bench(x.sandbox.url, credentials=wrong), rows)


@pytest.mark.cases((63, "documented"))
def test_a_nonce_works_once(x: Any, row: Row) -> None:
    """X takes a repeated one for a repeated request; that the answer is a 401 is as required."""
    assert [x.send(row(), auth=x.sign(nonce="once")).status_code for _ in range(2)] == [200, 401]


@pytest.mark.cases((64, "documented"))
def test_a_slow_clock(start: Any, clock: Any, row: Row, errors_of: ErrorsOf) -> None:
    """Ten minutes behind: X's gateway says so."""
    x = start()
    answer = x.send(row(), auth=x.sign(timestamp=str(int(clock()) - 600)))
    assert answer.status_code == 401
    assert [code for code, _, _ in errors_of(answer)] == ["135"]


@pytest.mark.cases((64, "required"))
def test_a_slow_clock_is_corrected_once(start: Any, clock: Any, bench: Any, rows: Any) -> None:
    """Our client signs again by X's `Date` and all is accepted."""
    x = start(clock=lambda: clock() + 600)
    ran = bench(x.sandbox.url).run(rows(20))
    assert (ran.posts, ran.halted, ran.states) == (2, None, {"accepted": 20})


@pytest.mark.cases((64, "required"))
def test_a_clock_that_stays_wrong_stops(scripted: Any, refused: Any, clock: Any, bench: Any, rows: Any) -> None:
    """A second refusal is not answered with a third request."""
    status, body, _ = refused(401, 135, "Timestamp out of bounds.")
    server = scripted((status, body, {"date": formatdate(clock() + 600, usegmt=True)}))
    assert "clock" in ends(bench(server.url), rows, posts=2)


@pytest.mark.cases(
    (65, "documented", "revoked", "key", 401, "89"),
    (66, "documented", "token", "no-access", 403, "UNAUTHORIZED_CLIENT_APPLICATION"),
    (67, "documented", "token", "read-only", 403, "READONLY_CLIENT_APPLICATION"),
    (69, "required", "analyst", "key", 404, "NOT_FOUND"),
)
def test_a_token_or_an_app_that_may_not(
    case: tuple[str, str, int, str], x: Any, row: Row, bench: Any, rows: Any, errors_of: ErrorsOf
) -> None:
    """X's answer, and our client stops after it; which status a low role gets is a guess."""
    token, consumer, status, code = case
    answer = x.send(row(), auth=x.sign(x.keys(token, consumer)))
    assert (answer.status_code, [error[0] for error in errors_of(answer)]) == (status, [code])
    assert x.sandbox.received == []
    ends(bench(x.sandbox.url, credentials=keys(token, consumer)), rows)


@pytest.mark.cases((68, "documented"))
def test_a_pixel_of_an_account_without_a_role(x: Any, row: Row, bench: Any, rows: Any, errors_of: ErrorsOf) -> None:
    """A 404 that is about no row: the message names the mend and nobody's id."""
    answer = x.send(row(event_id="o87ne"), pixel="o8z6j")
    assert answer.status_code == 404
    ((_, parameter, message),) = errors_of(answer)
    assert parameter is None
    assert message.startswith("User 2417045708 does not have access to account 18ce55gze09. Type 'sn 2417045708'")
    halted = ends(bench(x.sandbox.url, pixel="o8z6j", account="18ce55gze09"), rows)
    assert "ad manager or account administrator" in halted


@pytest.mark.cases((70, "documented", "nosuch"), (72, "observed", "oka17"))
def test_a_pixel_that_nobody_knows(case: str, x: Any, row: Row, bench: Any, rows: Any) -> None:
    """A 404, in JSON or as a page: the same to our client."""
    if case == "oka17":
        x.sandbox.script([{"match": {"next": 9}, "do": {"status": 404, "answer": "html"}}])
    assert x.send(row(), pixel=case).status_code == 404
    assert "X_ADS_PIXEL_ID" in ends(bench(x.sandbox.url, pixel=case), rows)


@pytest.mark.cases((69, "required"))
def test_a_low_role_is_named(x: Any, ads_account: Any) -> None:
    """Before anything is sent, our client can tell the role and that it does not suffice."""
    access = user_access(ads_account(x.sandbox.url, "18ce552mlaq", "analyst"))
    assert (access.user_id, access.permissions, access.may_send) == ("999", ("CAMPAIGN_ANALYST",), False)


@pytest.mark.cases((79, "documented"))
def test_an_app_for_conversions_only(
    x: Any, row: Row, ads_account: Any, bench: Any, rows: Any, errors_of: ErrorsOf
) -> None:
    """It may ask nothing about accounts, and sends all the same; our client says so."""
    keys_of_app = x.keys(consumer="conversions")
    answer = x.request("GET", "/12/accounts/18ce552mlaq/authenticated_user_access", auth=x.sign(keys_of_app))
    assert (answer.status_code, errors_of(answer)[0][0]) == (403, "UNAUTHORIZED_CLIENT_APPLICATION")
    assert x.send(row(), auth=x.sign(keys_of_app)).status_code == 200
    with pytest.raises(ConfigurationError, match="can send conversions all the same"):
        user_access(ads_account(x.sandbox.url, "18ce552mlaq", consumer="conversions"))
    assert bench(x.sandbox.url, credentials=keys(consumer="conversions")).run(rows(3)).states == {"accepted": 3}


@pytest.mark.cases(
    (71, "documented", "/12/no/such/route", "ROUTE_NOT_FOUND", "The requested resource could not be found"),
    (73, "observed", "/9/measurement/conversions/oka17", "INVALID", "Version 9 is not available."),
)
def test_an_address_that_x_has_not(case: tuple[str, str, str], x: Any, errors_of: ErrorsOf) -> None:
    """An unknown route and a version of the past; the status of the latter is a guess."""
    path, code, message = case
    answer = x.request("POST", path, json={"conversions": []})
    assert (answer.status_code, errors_of(answer)) == (404, [(code, None, message)])


@pytest.mark.cases((74, "documented"))
def test_a_warning_is_told_once(x: Any, bench: Any, rows: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Three requests with `x-api-warn` make one warning in a run, with X's words."""
    x.sandbox.script([{"match": {"next": 9}, "do": {"headers": {"x-api-warn": "This endpoint is deprecated"}}}])
    with caplog.at_level(logging.WARNING, "xcapi_dagster"):
        assert bench(x.sandbox.url).run(rows(1_200)).states == {"accepted": 1_200}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "This endpoint is deprecated" in warnings[0]


@pytest.mark.cases(
    (75, "guess", "token-of-oka17", 200),
    (75, "guess", "no-such-token", 401),
    (75, "guess", "token-of-o8z6j", 403),
)
def test_the_pixel_token(case: tuple[str, int], x: Any, row: Row, bench: Any, rows: Any) -> None:
    """Guesses, for X's page does not have it: it works alone, and for its own pixel."""
    token, status = case
    assert x.send(row(), auth=None, headers={"X-Pixel-Token": token}).status_code == status
    client = bench(x.sandbox.url, credentials=PixelToken(token))
    if status == 200:
        assert client.run(rows(20)).states == {"accepted": 20}
    else:
        assert "X_ADS_PIXEL_TOKEN" in ends(client, rows)


@pytest.mark.cases((75, "required", keys()), (75, "required", PixelToken("token-of-oka17")))
def test_one_kind_of_credentials_at_a_time(
    case: OAuth1 | PixelToken, scripted: Any, accepted: Any, bench: Any, rows: Any
) -> None:
    """Our client sends a signature or the token, never both."""
    server = scripted(accepted(20))
    bench(server.url, credentials=case).run(rows(20))
    (seen,) = server.seen
    assert ("authorization" in seen.headers) is isinstance(case, OAuth1)
    assert ("x-pixel-token" in seen.headers) is isinstance(case, PixelToken)


@pytest.mark.cases(*((76, "required", status) for status in (301, 302, 307, 308)))
@pytest.mark.parametrize("credentials", [keys(), PixelToken("token-of-oka17")], ids=["oauth", "token"])
def test_no_redirect_is_followed(
    case: int, credentials: Any, scripted: Any, accepted: Any, bench: Any, rows: Any
) -> None:
    """The other host receives neither token nor body, and the run stops."""
    other = scripted(accepted(20))
    server = scripted((case, b"", {"location": f"{other.url}/12/measurement/conversions/oka17"}))
    assert "redirect" in ends(bench(server.url, credentials=credentials), rows)
    assert other.seen == []


@pytest.mark.cases((77, "required", "http://ads-api.x.com"), (77, "required", "http://192.0.2.1:8181"))
def test_nothing_goes_unencrypted(case: str) -> None:
    """Our client refuses such an address before it connects, unless it is this machine's."""
    with pytest.raises(ConfigurationError, match="https://"):
        AdsApiClient(case, "12", "oka17", keys())


@pytest.mark.cases((78, "guess"))
def test_another_account_in_the_answer(x: Any, bench: Any, rows: Any) -> None:
    """The run stops before the next batch, and what X answered so is held; that X could do so is a guess."""
    x.sandbox.script([{"match": {"request": 1}, "do": {"answer": "other_account"}}])
    ran = bench(x.sandbox.url).run(rows(1_000))
    assert (ran.posts, ran.states) == (1, {"held": 500, "pending": 500})
    assert "X_ADS_ACCOUNT_ID" in str(ran.halted)
