"""Who sends a request, and whether they may send to this pixel."""

from dataclasses import dataclass

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import Error, Request, documented, of_status
from xcapi_dagster.sandbox.signatures import Nonces, Signed, parse
from xcapi_dagster.sandbox.world import Account, Application, World

# X's error page lists the code without its message
_READ_ONLY = Error(403, "READONLY_CLIENT_APPLICATION", "The client application may only read")


@dataclass(frozen=True, slots=True)
class User:
    """Signed with OAuth 1.0a: an application in a user's name."""

    application: Application
    user_id: str


@dataclass(frozen=True, slots=True)
class PixelTokenHolder:
    """Sent the token of one pixel."""

    pixel_id: str


Sender = User | PixelTokenHolder


def authenticate(request: Request, world: World, nonces: Nonces, now: float) -> Sender | Error:
    """Who sends: by exactly one of the two headers. A nonce counts as used once its signature is right."""
    authorization = request.headers.get("authorization")
    pixel_token = request.headers.get(contract.PIXEL_TOKEN_HEADER.lower())
    if authorization is not None and pixel_token is not None:
        return documented("bad_authentication_data")
    if pixel_token is not None:
        pixel_id = world.pixel_tokens.get(pixel_token)
        return documented("not_authenticated") if pixel_id is None else PixelTokenHolder(pixel_id)
    signed = parse(authorization or "")
    return documented("not_authenticated") if signed is None else _user(signed, request, world, nonces, now)


def _user(signed: Signed, request: Request, world: World, nonces: Nonces, now: float) -> User | Error:
    application = world.application(signed.consumer_key)
    token = world.access_token(signed.token, signed.consumer_key)
    if application is None or token is None:
        return documented("not_authenticated")
    if not signed.is_by(
        application.consumer_secret, token.secret, request.method, request.base_url, request.parameters
    ):
        return documented("could_not_authenticate")
    if token.revoked:
        return documented("expired_token")
    if not signed.is_timely(now):
        return documented("clock")
    if not nonces.is_new(signed, now):
        return documented("not_authenticated")
    return User(application, token.user_id)


def asking_user(sender: Sender) -> User | Error:
    """The user, when the sender may ask about ads accounts at all."""
    if isinstance(sender, PixelTokenHolder):
        return of_status(403)
    if sender.application.conversions_only or not sender.application.has_ads_access:
        return documented("application_without_access", value=sender.application.app_id)
    return sender


def authorize_account(sender: Sender, account_id: str, world: World, *, is_change: bool) -> Account | Error:
    """The account, when the sender may ask about it, or change it.

    That any role may ask, that a lower one may not change, and what a pixel token gets are guesses.
    """
    user, account = asking_user(sender), world.account(account_id)
    if isinstance(user, Error):
        return user
    if account is None:
        return documented("account_not_found", value=account_id)
    if not world.roles_of(user.user_id, account_id):
        return documented("user_without_access", user_id=user.user_id, value=account_id)
    if is_change and user.application.read_only:
        return _READ_ONLY
    return account if not is_change or world.may_send(user.user_id, account_id) else of_status(403)


def authorize(sender: Sender, pixel_id: str, world: World) -> Account | Error:
    """The account that owns the pixel, when the sender may send to it."""
    refusal = _application_refusal(sender.application) if isinstance(sender, User) else None
    account = world.account_of(pixel_id)
    if refusal is not None:
        return refusal
    if account is None:
        return documented("route_not_found")
    return _account_refusal(sender, pixel_id, account, world) or account


def _application_refusal(application: Application) -> Error | None:
    if not application.has_ads_access:
        return documented("application_without_access", value=application.app_id)
    return _READ_ONLY if application.read_only else None


def _account_refusal(sender: Sender, pixel_id: str, account: Account, world: World) -> Error | None:
    if isinstance(sender, PixelTokenHolder):
        return None if sender.pixel_id == pixel_id else of_status(403)
    if world.may_send(sender.user_id, account.account_id):
        return None
    return documented("user_without_access", user_id=sender.user_id, value=account.account_id)
