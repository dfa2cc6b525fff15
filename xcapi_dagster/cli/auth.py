"""`xcapi auth …`."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from xcapi_dagster.ads_api.auth import pixel_token_doubt
from xcapi_dagster.ads_api.callback import Callback
from xcapi_dagster.ads_api.catalogue import ROLE_ADVICE
from xcapi_dagster.ads_api.sign_in import SignIn, UserToken
from xcapi_dagster.ads_api.user_access import UserAccess, user_access
from xcapi_dagster.contract import API_URL, PIN_CALLBACK
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.outputs import check_folder
from xcapi_dagster.resources import ads_account_of
from xcapi_dagster.settings import OAUTH_FIELDS, VARIABLES, account_from_environment
from xcapi_dagster.token_file import StoredToken, read_token, write_token


@dataclass(frozen=True, slots=True, repr=False)
class _App:
    """The app that a user signs in for, and the folder that the token is kept in."""

    consumer_key: str
    consumer_secret: str
    api_url: str
    home: Path


@click.group()
def auth() -> None:
    """Sign in to X, and see who is signed in and what they may do."""


@auth.command()
@click.option("--loopback", is_flag=True, help="Send the browser back to this machine, instead of typing a PIN.")
@click.option("--port", type=click.IntRange(1, 65535), default=8183, show_default=True, help="For --loopback.")
@click.option(
    "--timeout", type=click.IntRange(1, 3600), default=300, show_default=True, help="Seconds, for --loopback."
)
@click.option("--print-env", is_flag=True, help="Print the access token as environment lines and keep nothing.")
def login(*, loopback: bool, port: int, timeout: int, print_env: bool) -> None:
    """Let a user of X allow the app of X_ADS_CONSUMER_KEY, and keep their access token below XCAPI_HOME.

    The user needs the role of an ad manager or account administrator on the ads account.
    """
    app = _app(os.environ, keeps=not print_env)
    sign_in = SignIn(app.api_url, app.consumer_key, app.consumer_secret)
    user = _by_callback(sign_in, port, timeout) if loopback else _by_pin(sign_in)
    _say(f"Signed in as @{user.screen_name} (user {user.user_id}).")
    if print_env:
        click.echo(f"{VARIABLES['access_token']}={user.token}")
        click.echo(f"{VARIABLES['access_token_secret']}={user.secret}")
    else:
        _keep(app, user)


@auth.command()
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def whoami(*, as_json: bool) -> None:
    """Show the user of the access token and the user's roles on the ads account. Nothing is sent.

    X tells nothing about a pixel token before it is used: of that, the form is checked. Exit status 0: nothing speaks
    against sending; 1: a role or the pixel token does, or X cannot be asked; 2: X refuses.
    """
    settings = account_from_environment(os.environ, needs_oauth=False)
    oauth = [value.get_secret_value() for name in OAUTH_FIELDS if (value := getattr(settings, name)) is not None]
    access: UserAccess | None = None
    if oauth or settings.demo:
        with ads_account_of(settings) as account:
            access = user_access(account)
    token = settings.pixel_token
    doubt = None if token is None else pixel_token_doubt(token.get_secret_value(), oauth)
    told = {
        "account_id": settings.account_id,
        "user_id": access and access.user_id,
        "screen_name": access and _screen_name(access.user_id),
        "permissions": access and access.permissions,
        "may_send": access and access.may_send,
        "pixel_token": token and (f"doubtful: {doubt}; generate one in Events Manager" if doubt else "well-formed"),
    }
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(_lines(told)))
    sys.exit(1 if doubt or told["may_send"] is False else 0)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What is told, for people."""
    yield f"account      {told['account_id']}"
    if told["user_id"]:
        name = told["screen_name"]
        yield f"user         {told['user_id']}" + (f" (@{name})" if name else "")
        yield f"roles        {', '.join(told['permissions']) or 'none'}"
        yield f"may send     {'yes' if told['may_send'] else f'no: {ROLE_ADVICE}'}"
    if told["pixel_token"]:
        yield f"pixel token  {told['pixel_token']}"


def _screen_name(user_id: str) -> str | None:
    """The name of the user who signed in last, when it is this one: X does not tell it here."""
    home = os.environ.get(VARIABLES["home"], "").strip(" \t")
    stored = read_token(Path(home)) if home else None
    return stored.screen_name if stored is not None and stored.user_id == user_id else None


def _app(environ: Mapping[str, str], *, keeps: bool) -> _App:
    """What ``environ`` says of the app, or of the last sign-in. Raises ConfigurationError for what is missing."""
    given = {name: environ.get(variable, "").strip(" \t") for name, variable in VARIABLES.items()}
    home = Path(given["home"])
    if keeps and given["home"]:
        if not home.is_absolute():
            raise ConfigurationError("XCAPI_HOME must be an absolute path")
        check_folder(home, VARIABLES["home"])
        if not (given["consumer_key"] or given["consumer_secret"]) and (last := read_token(home)):
            given |= {"consumer_key": last.consumer_key, "consumer_secret": last.consumer_secret}
    needed = (*(("home",) if keeps else ()), "consumer_key", "consumer_secret")
    missing = [VARIABLES[name] for name in needed if not given[name]]
    if missing:
        raise ConfigurationError(f"set {', '.join(missing)}")
    return _App(given["consumer_key"], given["consumer_secret"], given["api_url"] or API_URL, home)


def _by_pin(sign_in: SignIn) -> UserToken:
    token = sign_in.begin(PIN_CALLBACK)
    _say("Open this page as the user in whose name to send, allow the app, and type the PIN that it shows:")
    _say(f"\n  {sign_in.address(token)}\n")
    pin = click.prompt("PIN", err=True)
    return sign_in.finish(token, "".join(pin.split()))


def _by_callback(sign_in: SignIn, port: int, timeout: int) -> UserToken:
    with Callback(port) as callback:
        token = sign_in.begin(callback.url)
        callback.expect(token.token)
        _say("Open this page in a browser on this machine, as the user in whose name to send, and allow the app:")
        _say(f"\n  {sign_in.address(token)}\n")
        _say(f"Waiting {timeout} s for the browser to come back to {callback.url}")
        verifier = callback.wait(timeout)
    return sign_in.finish(token, verifier)


def _keep(app: _App, user: UserToken) -> None:
    token = StoredToken(
        app.consumer_key,
        app.consumer_secret,
        user.token,
        user.secret,
        user_id=user.user_id,
        screen_name=user.screen_name,
    )
    path = write_token(app.home, token)
    _say(f"The access token is kept in {path}, which only you can read. `xcapi auth whoami` shows what it may do.")
    before = [VARIABLES[name] for name in ("access_token", "access_token_secret") if os.environ.get(VARIABLES[name])]
    if before:
        _say(f"{' and '.join(before)} of the environment go before it: unset them to use it.")
    elif os.environ.get(VARIABLES["pixel_token"]):
        _say(f"It goes before {VARIABLES['pixel_token']}: what is sent from now on is signed with it.")


def _say(text: str) -> None:
    """Tell people something; results alone go to standard output."""
    click.echo(text, err=True)
