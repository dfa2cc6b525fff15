"""Connections that break, at every place where they can: faults 7 to 11."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.certificates import self_signed
from tests.faults import proxy as broken
from tests.faults.proxy import Fault, Proxy
from tests.faults.trial import Trial
from tests.impatience import impatient_once

Try = Callable[..., Trial]
Between = Callable[..., Proxy]


@pytest.fixture
def between() -> Iterator[Between]:
    """Put a proxy with these faults between a shop and X."""
    with ExitStack() as stack:

        def put(trial: Trial, *faults: Fault, tls: ssl.SSLContext | None = None) -> Proxy:
            port = urlsplit(trial.sandbox.url).port
            proxy = stack.enter_context(Proxy(int(port or 0), *faults, tls=tls).running())
            trial.shop.api_url = proxy.url
            return proxy

        yield put


def resent(trial: Trial, *, copies: int, requests: int = 2) -> None:
    """The first request was in doubt and followed by another, and X accepted each conversion so often."""
    ids = [order["order_id"] for order in trial.shop.orders]
    uploaded = trial.shop.sync()
    assert [row["state"] for row in trial.shop.rows("requests")] == ["unknown"] * (requests - 1) + ["accepted"]
    assert uploaded.counts.requests == requests
    trial.judge(uploaded, {"accepted": len(ids)}, again=ids if copies == 2 else ())
    assert trial.sandbox.deduplicated == len(ids)
    trial.settles()


def test_fault_07_no_answer_in_time_and_x_got_nothing(attempt: Try, between: Between) -> None:
    """In doubt, then sent once more and accepted: X has each once."""
    trial = attempt()
    trial.shop.put_many(20)
    trial.shop.pool_factory = impatient_once(between(trial, broken.loses_the_request).lost)
    resent(trial, copies=1)


def test_fault_08_no_answer_in_time_and_x_got_all(attempt: Try, between: Between) -> None:
    """In doubt, then sent once more with the same ids, of which X counts one."""
    trial = attempt()
    trial.shop.put_many(20)
    trial.shop.pool_factory = impatient_once(between(trial, broken.loses_the_answer).lost)
    resent(trial, copies=2)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_fault_09_reset_in_the_middle_of_the_request(attempt: Try, between: Between, share: float) -> None:
    """X cannot have taken it, and the client cannot know that: in doubt, then sent once more."""
    trial = attempt()
    trial.shop.put_many(200)
    between(trial, broken.resets_request_after(share))
    resent(trial, copies=1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_fault_09_reset_in_the_middle_of_the_answer(attempt: Try, between: Between, share: float) -> None:
    """A success that is cut short is no success, nor a failure."""
    trial = attempt()
    trial.shop.put_many(20)
    between(trial, broken.resets_answer_after(share))
    resent(trial, copies=2)


def test_fault_09_a_slow_answer_is_an_answer(attempt: Try, between: Between) -> None:
    """Byte by byte, as long as it goes on."""
    trial = attempt()
    trial.shop.put_many(20)
    between(trial, broken.drips(0.002))
    trial.judge(trial.shop.sync(), {"accepted": 20})
    assert trial.posts == 1


def test_fault_10_an_idle_connection_that_was_closed_is_not_used(attempt: Try, between: Between) -> None:
    """The client sees it before it sends: another connection, no doubt, no request without a claim."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    proxy = between(trial, broken.closes_when_idle, broken.closes_when_idle)
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 30})
    assert (proxy.connections, proxy.requests, uploaded.counts.requests, trial.posts) == (3, 3, 3, 3)


def test_fault_10_an_idle_connection_that_closes_as_it_is_used(attempt: Try, between: Between) -> None:
    """Nobody can tell whether X got it: in doubt, and claimed anew before it is sent anew, never by itself below."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    proxy = between(trial, broken.passes, broken.closes_at_once)
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 30})
    assert [row["state"] for row in trial.shop.rows("requests")] == ["accepted", "unknown", "accepted", "accepted"]
    assert (proxy.requests, uploaded.counts.requests, trial.posts) == (4, 4, 3)
    trial.settles()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ssl.SSLContext, Path]]:
    """Make TLS for an address with a certificate that nobody has signed, and that certificate."""
    return partial(self_signed, folder=tmp_path_factory.mktemp("tls"))


def not_sent(trial: Trial, told: str) -> None:
    """The run ends and says why; all is pending, nothing in doubt, and X knows of nothing."""
    uploaded = trial.shop.sync()
    assert told in str(uploaded.halted)
    trial.judge(uploaded, {"pending": len(trial.shop.orders)})
    assert {row["state"] for row in trial.shop.rows("requests")} == {"not_processed"}
    assert (uploaded.counts.requests, trial.posts) == (4, 0)


def mended(trial: Trial) -> None:
    """The next run sends each order once."""
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 1
    trial.judge(uploaded, {"accepted": len(trial.shop.orders)})
    trial.settles()


@pytest.mark.parametrize(
    ("url", "told"),
    [("https://ads-api.invalid", "has no address"), ("http://127.0.0.1:9", "refuses connections")],
    ids=["unresolved", "refused"],
)
def test_fault_11_no_way_to_x(attempt: Try, url: str, told: str) -> None:
    """A name that has no address, a port where nobody listens: tried again freely, then left pending."""
    trial = attempt()
    trial.shop.put_many(20)
    trial.shop.api_url = url
    not_sent(trial, told)
    trial.shop.api_url = trial.sandbox.url
    mended(trial)


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"], ids=["unsigned", "of_another"])
def test_fault_11_a_certificate_that_is_not_x_s(
    attempt: Try,
    between: Between,
    certificates: Callable[[str], tuple[ssl.SSLContext, Path]],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signed by nobody, or of another address although its signer is trusted: nothing is sent over it."""
    trial = attempt()
    trial.shop.put_many(20)
    tls, certificate = certificates(address)
    between(trial, tls=tls)
    if address != "127.0.0.1":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    not_sent(trial, "certificate is not trusted")
    if address == "127.0.0.1":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    else:
        trial.shop.api_url = trial.sandbox.url
    mended(trial)


def test_fault_11_no_tls_at_all(attempt: Try) -> None:
    """A server that answers in plain text where TLS was to be."""
    trial = attempt()
    trial.shop.put_many(20)
    trial.shop.api_url = trial.sandbox.url.replace("http://", "https://")
    not_sent(trial, "TLS handshake failed")
    trial.shop.api_url = trial.sandbox.url
    mended(trial)
