"""Three-legged OAuth 1.0a: an app asks, a user allows it on a page, and the app gets the user's access token.

X's pages: "3-legged OAuth flow" and "PIN-based OAuth". The texts of refusals that X gives only a number for, and all
their statuses, are guesses.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from urllib.parse import parse_qsl, urlencode

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import HTML_TYPE, Answer, Error, Request, documented, failure, html
from xcapi_dagster.sandbox.signatures import Nonces, Signed, parse
from xcapi_dagster.sandbox.world import AccessToken, Application, World

_CALLBACK_NOT_APPROVED = Error(403, 415, "Callback URL not approved for this client application.")
_SUSPENDED = Error(403, 416, "Invalid / suspended application")
_PIN_ONLY = Error(403, 417, "Desktop applications only support the oauth_callback value 'oob'")
_NO_VERIFIER = Answer(
    401, b"Error processing your OAuth request: Invalid oauth_verifier parameter", content_type=HTML_TYPE
)


@dataclass(slots=True)
class _Pending:
    """A sign-in under way; ``user_id`` and ``verifier`` come when a user has allowed it."""

    token: str
    secret: str = field(repr=False)
    application: Application
    callback: str
    user_id: str = ""
    verifier: str = ""


class SignIn:
    """Hands out request tokens, PINs and access tokens; ``seed`` decides them. Nothing of it survives the process."""

    def __init__(self, world: World, nonces: Nonces, seed: int) -> None:
        self.world = world  # with the access tokens that were handed out since
        self._nonces = nonces
        self._seed = seed
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._made = 0

    def answer(self, request: Request, now: float) -> Answer | None:
        """The answer when the request is about signing in, else None."""
        with self._lock:
            match request.method, request.path:
                case "POST", contract.REQUEST_TOKEN_PATH:
                    return self._begin(request, now)
                case "GET", contract.AUTHORIZE_PATH:
                    return self._page(dict(parse_qsl(request.query)))
                case "POST", contract.AUTHORIZE_PATH:
                    return self._decided(dict(parse_qsl(request.body.decode("ascii", "replace"))))
                case "POST", contract.ACCESS_TOKEN_PATH:
                    return self._finish(request, now)
        return None

    def _begin(self, request: Request, now: float) -> Answer:
        verified = self._verified(request, now, lambda _: "")
        if isinstance(verified, Error):
            return failure(verified)
        application, signed = verified
        callback = dict(signed.parameters).get("oauth_callback", "")
        if refusal := _callback_refusal(application, callback):
            return failure(refusal)
        pending = _Pending(self._new("request"), self._new("request-secret"), application, callback)
        self._pending[pending.token] = pending
        answer = {"oauth_token": pending.token, "oauth_token_secret": pending.secret}
        return _form(answer | {"oauth_callback_confirmed": "true"})

    def _page(self, query: dict[str, str]) -> Answer:
        pending = self._pending.get(query.get("oauth_token", ""))
        if pending is None:
            return _told(401, "The request token for this page is invalid. Begin again.")
        buttons = [
            f'<button name="user_id" value="{escape(user_id)}">Allow, as @{escape(name)}</button>'
            for user_id, name in self.world.screen_names.items()
        ]
        return _told(
            200,
            f"An app ({escape(pending.application.app_id)}) asks to act in your name at the sandbox.",
            f'<form method="post" action="{contract.AUTHORIZE_PATH}">'
            f'<input type="hidden" name="oauth_token" value="{escape(pending.token)}">'
            f'{" ".join(buttons)} <button name="cancel" value="true">Cancel</button></form>',
        )

    def _decided(self, form: dict[str, str]) -> Answer:
        pending = self._pending.get(form.get("oauth_token", ""))
        if pending is None or pending.verifier:
            return _told(401, "The request token for this page is invalid. Begin again.")
        if form.get("user_id", "") not in self.world.screen_names:
            del self._pending[pending.token]
            return _sent_back(pending.callback, denied=pending.token) or _told(200, "The app was not allowed.")
        pending.user_id = form["user_id"]
        if pending.callback == contract.PIN_CALLBACK:
            pending.verifier = f"{int(self._new('pin'), 16) % 10_000_000:07}"
            return _told(200, "Enter this PIN to complete the sign-in:", f"<p><code>{pending.verifier}</code></p>")
        pending.verifier = self._new("verifier")
        back = _sent_back(pending.callback, oauth_token=pending.token, oauth_verifier=pending.verifier)
        return back or _told(200, "Signed in.")

    def _finish(self, request: Request, now: float) -> Answer:
        verified = self._verified(request, now, self._request_secret)
        if isinstance(verified, Error):
            return failure(verified)
        application, signed = verified
        pending = self._pending.pop(signed.token)  # a PIN works once, a wrong one ends the sign-in
        given = dict([*parse_qsl(request.query), *signed.parameters]).get("oauth_verifier")
        if not pending.verifier or given != pending.verifier:
            return _NO_VERIFIER
        token = self._access_token(application, pending.user_id)
        answer = {"oauth_token": token.token, "oauth_token_secret": token.secret, "user_id": token.user_id}
        return _form(answer | {"screen_name": self.world.screen_names[token.user_id]})

    def _verified(
        self, request: Request, now: float, secret_of: Callable[[Signed], str | None]
    ) -> tuple[Application, Signed] | Error:
        """The app that signed the request, with nobody's or a request token's secret."""
        signed = parse(request.headers.get("authorization", ""), needs_token=False)
        if signed is None:
            return documented("bad_authentication_data")
        application, secret = self.world.application(signed.consumer_key), secret_of(signed)
        if application is None or secret is None:
            return documented("could_not_authenticate")
        if not signed.is_by(application.consumer_secret, secret, request.method, request.base_url, request.query):
            return documented("could_not_authenticate")
        if not signed.is_timely(now):
            return documented("clock")
        if not self._nonces.is_new(signed, now):
            return documented("not_authenticated")
        return _SUSPENDED if application.suspended else (application, signed)

    def _request_secret(self, signed: Signed) -> str | None:
        pending = self._pending.get(signed.token)
        is_its = pending is not None and pending.application.consumer_key == signed.consumer_key
        return pending.secret if pending is not None and is_its else None

    def _access_token(self, application: Application, user_id: str) -> AccessToken:
        """The one that the app has of the user already, as with X, unless it was revoked."""
        for known in self.world.access_tokens:
            if (known.consumer_key, known.user_id, known.revoked) == (application.consumer_key, user_id, False):
                return known
        token = f"{user_id}-{self._new('access')}"
        new = AccessToken(token, self._new("access-secret"), application.consumer_key, user_id)
        self.world = replace(self.world, access_tokens=(*self.world.access_tokens, new))
        return new

    def _new(self, kind: str) -> str:
        self._made += 1
        return hashlib.blake2b(f"{self._seed}/{kind}/{self._made}".encode(), digest_size=16).hexdigest()


def _callback_refusal(application: Application, callback: str) -> Error | None:
    if callback == contract.PIN_CALLBACK:
        return None
    if application.pin_only:
        return _PIN_ONLY
    is_approved = application.callback_urls is None or callback in application.callback_urls
    return None if callback and is_approved else _CALLBACK_NOT_APPROVED


def _sent_back(callback: str, **query: str) -> Answer | None:
    """A redirect to the app's own address, None where the user reads the PIN."""
    if callback == contract.PIN_CALLBACK:
        return None
    separator = "&" if "?" in callback else "?"
    location = f"{callback}{separator}{urlencode(query)}"
    return replace(html(302, ""), headers={"location": location}) if location.isprintable() else None


def _form(values: dict[str, str]) -> Answer:
    return Answer(200, urlencode(values).encode(), content_type=HTML_TYPE)


def _told(status: int, text: str, more: str = "") -> Answer:
    return html(status, f"<!doctype html><title>X Ads API sandbox</title><p>{text}</p>{more}")
