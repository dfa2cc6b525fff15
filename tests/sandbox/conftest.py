"""The world of X's own examples, a running sandbox that knows it, and a client that signs as requests-oauthlib does."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from requests_oauthlib import OAuth1

from xcapi_dagster.sandbox import AccessToken, Account, Application, Sandbox, World

APPLICATION = Application("key", "key-secret", app_id="16489123")
TOKEN = AccessToken("token", "token-secret", "key", user_id="2417045708")

# the accounts, pixels and events of X's guide and reference
WORLD = World(
    accounts=(
        Account("18ce552mlaq", {"oka17": frozenset({"ol288"}), "o6dkt": frozenset({"o6dl3"})}),
        Account("18ce55gze09", {"o8z6j": frozenset({"o87ne"})}),
    ),
    applications=(
        APPLICATION,
        Application("no-access", "no-access-secret", app_id="16489124", has_ads_access=False),
        Application("read-only", "read-only-secret", app_id="16489125", read_only=True),
    ),
    access_tokens=(
        TOKEN,
        AccessToken("revoked", "revoked-secret", "key", user_id="2417045708", revoked=True),
        AccessToken("analyst", "analyst-secret", "key", user_id="999"),
        AccessToken("token", "token-secret", "no-access", user_id="2417045708"),
        AccessToken("token", "token-secret", "read-only", user_id="2417045708"),
    ),
    roles={
        "2417045708": {
            "18ce552mlaq": frozenset({"ACCOUNT_ADMIN", "TWEET_COMPOSER"}),
            "18ce55gze09": frozenset({"AD_MANAGER"}),
        },
        "999": {"18ce552mlaq": frozenset({"CAMPAIGN_ANALYST"})},
    },
    pixel_tokens={"token-of-oka17": "oka17", "token-of-o8z6j": "o8z6j"},
)


class Clock:
    """Unix seconds that stand still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Sends to a sandbox, signed with OAuth 1.0a by the sandbox's clock unless told otherwise."""

    def __init__(self, url: str, session: requests.Session, clock: Callable[[], float]) -> None:
        self.url = url
        self.session = session
        self.clock = clock
        self.oauth = {
            "client_key": APPLICATION.consumer_key,
            "client_secret": APPLICATION.consumer_secret,
            "resource_owner_key": TOKEN.token,
            "resource_owner_secret": TOKEN.secret,
        }

    def send(self, *conversions: object, pixel: str = "oka17", **request: Any) -> requests.Response:
        """The answer to one request with these conversions."""
        return self.post({"conversions": list(conversions)}, pixel, **request)

    def post(self, document: object, pixel: str = "oka17", **request: Any) -> requests.Response:
        """The answer to one request with this document."""
        path = request.pop("path", f"/12/measurement/conversions/{pixel}")
        request.setdefault("auth", OAuth1(**self.oauth, timestamp=str(int(self.clock()))))
        request.setdefault("timeout", 10)
        if "data" not in request:
            request["json"] = document
        method = request.pop("method", "POST")
        return self.session.request(method, self.url + path, allow_redirects=False, **request)


Start = Callable[..., tuple[Sandbox, Client]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a sandbox of X's examples with any options, and gives it with a client."""
    with ExitStack() as stack:

        def started(world: World = WORLD, **options: Any) -> tuple[Sandbox, Client]:
            sandbox = stack.enter_context(Sandbox(world, **options))
            session = stack.enter_context(requests.Session())
            return sandbox, Client(sandbox.url, session, options.get("clock", time.time))

        yield started


@pytest.fixture
def sandbox_and_client(start: Start) -> tuple[Sandbox, Client]:
    """A strict sandbox of X's examples and a client of it."""
    return start(seed=1)


@pytest.fixture
def sandbox(sandbox_and_client: tuple[Sandbox, Client]) -> Sandbox:
    """A strict sandbox of X's examples."""
    return sandbox_and_client[0]


@pytest.fixture
def client(sandbox_and_client: tuple[Sandbox, Client]) -> Client:
    """A client of the strict sandbox."""
    return sandbox_and_client[1]


@pytest.fixture
def clock() -> Clock:
    """Unix seconds that stand still until told."""
    return Clock()


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """The smallest conversion of X's reference, with any field changed; None takes a field away."""

    def changed(**fields: Any) -> dict[str, Any]:
        conversion = {
            "conversion_time": "2022-02-18T01:14:00.603Z",
            "event_id": "ol288",
            "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
        } | fields
        return {name: value for name, value in conversion.items() if value is not None}

    return changed
