"""Three-legged OAuth 1.0a: a user allows the app on X's page, and X gives it an access token to act in their name."""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from xcapi_dagster import contract
from xcapi_dagster.ads_api.address import check_api_url, oauth_url
from xcapi_dagster.ads_api.advice import explanation_of
from xcapi_dagster.ads_api.auth import AppKeys
from xcapi_dagster.ads_api.connection import Connection, NoReply, Reply
from xcapi_dagster.ads_api.oauth1 import authorization
from xcapi_dagster.ads_api.responses import Answer, classify
from xcapi_dagster.errors import AdsApiError, ConfigurationError

VERIFIER = re.compile(r"[A-Za-z0-9_-]{1,200}")

_VALUE = re.compile(r"[!-~]{1,1000}")
# "Callback URL", developer.twitter.com/en/docs/basics/callback_url: JSON or XML, and that with the code or without it
_XML_ERROR = re.compile(rb'<error(?: code="(?P<code>[0-9]{1,4})")?>\s*(?P<unapproved>Callback URL not approved)?')
_REFUSED_APP = (
    "X does not accept X_ADS_CONSUMER_KEY and X_ADS_CONSUMER_SECRET: copy both from the app's page in the X developer "
    "portal"
)
_REFUSED_VERIFIER = "X does not accept the PIN: each works once and not for long; run `xcapi auth login` again"


@dataclass(frozen=True, slots=True, repr=False)
class RequestToken:
    """A sign-in under way."""

    token: str
    secret: str


@dataclass(frozen=True, slots=True, repr=False)
class UserToken:
    """A user's access token, and whose it is."""

    token: str
    secret: str
    user_id: str
    screen_name: str


class SignIn:
    """Signs a user in for the app of ``consumer_key``, where X signs in for the API at ``api_url``.

    ConfigurationError says what to mend when X refuses, AdsApiError that X cannot be asked or gives no usable answer;
    either way nobody is signed in.
    """

    def __init__(
        self, api_url: str, consumer_key: str, consumer_secret: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is asked yet. Raises ConfigurationError when the address or the keys cannot be used."""
        check_api_url(api_url)
        self._url = oauth_url(api_url)
        self._app = AppKeys(consumer_key, consumer_secret)
        self._clock = clock

    def begin(self, callback: str) -> RequestToken:
        """A request token, for a sign-in that ends with a PIN (`contract.PIN_CALLBACK`) or at the address given."""
        signer = _Signer(self._app, None, {"callback": callback})
        values = self._asked(contract.REQUEST_TOKEN_PATH, signer, refused=_REFUSED_APP)
        if values.get("oauth_callback_confirmed") != "true":
            raise self._unusable()
        return RequestToken(self._value(values, "oauth_token"), self._value(values, "oauth_token_secret"))

    def address(self, token: RequestToken) -> str:
        """The page on which the user allows the app or does not."""
        return f"{self._url}{contract.AUTHORIZE_PATH}?{urlencode({'oauth_token': token.token})}"

    def finish(self, token: RequestToken, verifier: str) -> UserToken:
        """The user's access token, for the PIN or the verifier that the user's decision brought."""
        if not VERIFIER.fullmatch(verifier):
            raise ConfigurationError(
                "a PIN has digits alone: run `xcapi auth login` again and type what X's page shows"
            )
        signer = _Signer(self._app, token, {"verifier": verifier})
        values = self._asked(contract.ACCESS_TOKEN_PATH, signer, refused=_REFUSED_VERIFIER)
        names = ("oauth_token", "oauth_token_secret", "user_id", "screen_name")
        return UserToken(*(self._value(values, name) for name in names))

    def _asked(self, path: str, signer: "_Signer", *, refused: str) -> Mapping[str, str]:
        """The values in X's answer; ``refused`` is what a 401 means."""
        with closing(Connection(self._url, signer, clock=self._clock)) as connection:
            reply, answer = self._exchanged(connection, path)
            if answer.kind == "clock" and answer.clock_skew:
                connection.clock_offset = answer.clock_skew
                reply, answer = self._exchanged(connection, path)
        if reply.status != 200:
            raise self._error(reply, answer, refused)
        return dict(parse_qsl((reply.content or b"").decode("ascii", "replace")))

    def _exchanged(self, connection: Connection, path: str) -> tuple[Reply, Answer]:
        """X's reply, and what it means unless it is a 200."""
        reply = connection.exchange("POST", path)
        if isinstance(reply, NoReply):
            raise AdsApiError(f"{self._url} cannot be asked to sign in: {reply.reason}")
        answer = classify(
            reply.status,
            reply.headers,
            _as_json(reply.content or b""),
            sent=0,
            account_id=None,
            now=self._clock(),
            clock_offset=reply.clock_offset,
        )
        return reply, answer

    def _error(self, reply: Reply, answer: Answer, refused: str) -> AdsApiError | ConfigurationError:
        if answer.kind in ("unknown", "doubtful", "throttled"):
            return AdsApiError(f"X signs nobody in at the moment ({reply.status}): try again later")
        if answer.kind == "halted" and reply.status == 401:
            return ConfigurationError(f"{refused} (401)")
        is_explained = answer.kind == "halted" and any(map(explanation_of, answer.errors))
        is_told = answer.kind == "clock" or reply.status < 400 or is_explained
        if is_told and reply.status != 404:
            return ConfigurationError(answer.reason)
        return ConfigurationError(f"{self._url} signs nobody in: correct X_ADS_API_URL ({reply.status})")

    def _value(self, values: Mapping[str, str], name: str) -> str:
        value = values.get(name, "")
        if not _VALUE.fullmatch(value):
            raise self._unusable()
        return value

    def _unusable(self) -> AdsApiError:
        return AdsApiError(f"{self._url} answered without a token: does X_ADS_API_URL lead to X?")


def _as_json(refusal: bytes) -> bytes:
    """A refusal of X's in JSON, as it writes it too, when it is in XML: its code, or that of its text."""
    found = _XML_ERROR.search(refusal)
    if found is None:
        return refusal
    code = found["code"] or (b"415" if found["unapproved"] else b"")
    return json.dumps({"errors": [{"code": code.decode()}]}).encode() if code else refusal


@dataclass(frozen=True, slots=True, repr=False)
class _Signer:
    """Signs as the app alone, or with a request token; another nonce each time."""

    app: AppKeys
    token: RequestToken | None
    more: Mapping[str, str]

    def headers(self, method: str, url: str, now: float) -> dict[str, str]:
        """The `Authorization` of one request."""
        app = (self.app.consumer_key, self.app.consumer_secret)
        user = (self.token.token, self.token.secret) if self.token else None
        return {"Authorization": authorization(method, url, now, app, user, **self.more)}
