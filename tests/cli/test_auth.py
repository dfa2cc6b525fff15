"""`xcapi auth` from outside: processes, a sandbox in the place of X, and a user who presses the button."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from click.testing import CliRunner, Result

from tests.ports import reserved_port
from xcapi_dagster.cli import main
from xcapi_dagster.sandbox import DEMO_WORLD, AccessToken, Account, Application, Sandbox
from xcapi_dagster.settings import VARIABLES
from xcapi_dagster.token_file import StoredToken, read_token, write_token

SECRETS = ("sandbox-consumer-secret", "sandbox-access-token-secret")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Plays X."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def environ(tmp_path: Path, sandbox: Sandbox) -> dict[str, str]:
    """What is known before anybody signed in: the app, and where to keep things."""
    return {
        "XCAPI_HOME": str(tmp_path / "home"),
        "X_ADS_API_URL": sandbox.url,
        "X_ADS_ACCOUNT_ID": "18ce55demo0",
        "X_ADS_CONSUMER_KEY": "sandbox-consumer-key",
        "X_ADS_CONSUMER_SECRET": "sandbox-consumer-secret",
    }


@contextmanager
def xcapi(*arguments: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`xcapi` with nothing in its environment but ``environ``; it is over after the block."""
    command: Sequence[str] = [sys.executable, "-m", "xcapi_dagster.cli", *arguments]
    whole = {"PATH": os.environ["PATH"], **environ}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=whole, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def page_of(told: IO[str] | None) -> tuple[str, str]:
    """The address that the user shall open, and what was said until then."""
    assert told is not None
    said = ""
    while not (found := re.search(r"http\S+/oauth/authorize\S+", said)):
        line = told.readline()
        assert line, said
        said += line
    return found[0], said


def press(address: str, **form: str) -> requests.Response:
    """What the user sees after the decision."""
    parts, query = urlsplit(address), parse_qs(urlsplit(address).query)
    form = {"oauth_token": query["oauth_token"][0], **form}
    return requests.post(f"{parts.scheme}://{parts.netloc}/oauth/authorize", data=form, timeout=20)


@pytest.mark.slow
def test_login_by_pin(tmp_path: Path, environ: dict[str, str]) -> None:
    """The token is kept where only its owner reads it, and no secret is printed."""
    with xcapi("auth", "login", environ=environ) as process:
        address, said = page_of(process.stderr)
        pin = re.findall("<code>(.*?)</code>", press(address, user_id="1").text)[0]
        out, err = process.communicate(f" {pin}\n", timeout=300)
    assert process.returncode == 0, err
    assert out == ""
    assert "@sandbox_user" in err
    kept = tmp_path / "home" / "access-token.json"
    assert str(kept) in err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = read_token(tmp_path / "home")
    assert token is not None
    assert (token.access_token, token.user_id) == ("sandbox-access-token", "1")
    assert not any(secret in said + err for secret in SECRETS)


@pytest.mark.slow
def test_login_by_callback(tmp_path: Path, environ: dict[str, str]) -> None:
    """The browser brings the verifier; printed, nothing is kept and standard output holds the lines alone."""
    environ = {name: environ[name] for name in environ if name != "XCAPI_HOME"}
    arguments = ("auth", "login", "--loopback", "--timeout", "600", "--print-env", "--port")
    with reserved_port() as port, xcapi(*arguments, str(port), environ=environ) as process:
        address, _ = page_of(process.stderr)
        assert "close this page" in press(address, user_id="1").text
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.splitlines() == [
        "X_ADS_ACCESS_TOKEN=sandbox-access-token",
        "X_ADS_ACCESS_TOKEN_SECRET=sandbox-access-token-secret",
    ]
    assert list(tmp_path.iterdir()) == []


def auth(*arguments: str, environ: Mapping[str, str], typed: str = "") -> Result:
    """How `xcapi auth` ends in this process, with nothing of its environment but ``environ``."""
    return CliRunner().invoke(
        main, ["auth", *arguments], input=typed, env=dict.fromkeys(VARIABLES.values()) | dict(environ)
    )


def test_a_wrong_pin_keeps_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    """Status 2, and nothing is written."""
    done = auth("login", environ=environ, typed="1234567\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "does not accept the PIN" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"XCAPI_HOME": ""}, 2, "set XCAPI_HOME"),
        ({"XCAPI_HOME": "home"}, 2, "absolute path"),
        ({"XCAPI_HOME": "/dev/null/home"}, 2, "XCAPI_HOME"),
        ({"X_ADS_CONSUMER_SECRET": " "}, 2, "set X_ADS_CONSUMER_SECRET"),
        ({"X_ADS_CONSUMER_SECRET": "canary secret"}, 2, "X_ADS_CONSUMER_SECRET"),
        ({"X_ADS_CONSUMER_SECRET": "canary"}, 2, "does not accept X_ADS_CONSUMER_KEY"),
        ({"X_ADS_API_URL": "http://ads-api.x.com"}, 2, "https://"),
        ({"X_ADS_API_URL": "https://ads-api.invalid"}, 1, "cannot be asked to sign in"),
    ],
)
def test_what_cannot_sign_in(
    tmp_path: Path, environ: dict[str, str], changes: dict[str, str], status: int, told: str
) -> None:
    """One line, before anybody is asked for anything, and nothing is written."""
    done = auth("login", environ=environ | changes)
    assert (done.exit_code, done.stdout) == (status, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "canary" not in done.stderr
    assert list(tmp_path.iterdir()) == []


WORLD = replace(
    DEMO_WORLD,
    accounts=(*DEMO_WORLD.accounts, Account("18ce55gze09", {"o8z6j": frozenset({"o87ne"})})),
    applications=(
        *DEMO_WORLD.applications,
        Application("no-access", "no-access-secret", app_id="16489124", has_ads_access=False),
        Application("capi-only", "capi-only-secret", app_id="16489125", conversions_only=True),
    ),
    access_tokens=(
        *DEMO_WORLD.access_tokens,
        AccessToken("analyst", "analyst-secret", "sandbox-consumer-key", user_id="999"),
        AccessToken("revoked", "revoked-secret", "sandbox-consumer-key", user_id="1", revoked=True),
        AccessToken("analyst", "analyst-secret", "no-access", user_id="1"),
        AccessToken("analyst", "analyst-secret", "capi-only", user_id="1"),
    ),
    roles={**DEMO_WORLD.roles, "999": {"18ce55demo0": frozenset({"CAMPAIGN_ANALYST", "TWEET_COMPOSER"})}},
)


@pytest.fixture
def x() -> Iterator[Sandbox]:
    """A sandbox with an analyst, a revoked token, and apps with less access."""
    with Sandbox(WORLD) as sandbox:
        yield sandbox


def test_a_damaged_token_says_how_to_sign_in_anew(tmp_path: Path, environ: dict[str, str]) -> None:
    """The app's keys were in it: what is said to help does help."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "access-token.json").write_text("{")
    (tmp_path / "home" / "access-token.json").chmod(0o600)
    keys = {"X_ADS_CONSUMER_KEY", "X_ADS_CONSUMER_SECRET"}
    with xcapi("auth", "login", environ={k: v for k, v in environ.items() if k not in keys}) as login:
        _, told = login.communicate()
    assert keys <= set(re.findall(r"\w+", told))
    with xcapi("auth", "login", environ=environ) as login:
        address, _ = page_of(login.stderr)
    assert "/oauth/authorize" in address


@pytest.fixture
def signed_in(environ: dict[str, str], x: Sandbox) -> dict[str, str]:
    """All four values in the environment, those of an ad manager."""
    four = {"X_ADS_ACCESS_TOKEN": "sandbox-access-token", "X_ADS_ACCESS_TOKEN_SECRET": "sandbox-access-token-secret"}
    return environ | four | {"X_ADS_API_URL": x.url}


def test_whoami_shows_user_and_roles(signed_in: dict[str, str], x: Sandbox) -> None:
    """For people and for programs; one question each, and no conversion."""
    done = auth("whoami", environ=signed_in)
    assert done.exit_code == 0, done.stderr
    for part in ("18ce55demo0", "AD_MANAGER", "yes"):
        assert part in done.stdout
    told = json.loads(auth("whoami", "--json", environ=signed_in).stdout)
    assert told == {
        "account_id": "18ce55demo0", "user_id": "1", "screen_name": None, "permissions": ["AD_MANAGER"],
        "may_send": True, "pixel_token": None,
    }  # fmt: skip
    path = "/12/accounts/18ce55demo0/authenticated_user_access"
    assert [(request.method, request.path) for request in x.requests] == [("GET", path)] * 2


def test_whoami_knows_who_signed_in(tmp_path: Path, signed_in: dict[str, str]) -> None:
    """The kept sign-in is used without any credentials in the environment, and gives the user's name."""
    keys = [signed_in.pop(name) for name in list(signed_in) if "CONSUMER" in name or "TOKEN" in name]
    write_token(tmp_path / "home", StoredToken(*keys, user_id="1", screen_name="sandbox_user"))
    told = json.loads(auth("whoami", "--json", environ=signed_in).stdout)
    assert (told["user_id"], told["screen_name"]) == ("1", "sandbox_user")


def test_whoami_names_a_role_that_is_too_low(signed_in: dict[str, str]) -> None:
    """Status 1, the roles, and who can mend it."""
    analyst = {"X_ADS_ACCESS_TOKEN": "analyst", "X_ADS_ACCESS_TOKEN_SECRET": "analyst-secret"}
    done = auth("whoami", environ=signed_in | analyst)
    assert done.exit_code == 1
    assert "CAMPAIGN_ANALYST" in done.stdout
    assert "an administrator of the ads account must make the user an ad manager" in done.stdout


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"X_ADS_ACCOUNT_ID": "18ce55gze09"}, "has no role on the ads account"),
        ({"X_ADS_ACCOUNT_ID": "18ce55nosuch"}, "X_ADS_ACCOUNT_ID"),
        ({"X_ADS_ACCOUNT_ID": ""}, "X_ADS_ACCOUNT_ID"),
        ({"X_ADS_ACCESS_TOKEN_SECRET": "canary"}, "X_ADS_ACCESS_TOKEN_SECRET"),
        ({"X_ADS_ACCESS_TOKEN": "revoked", "X_ADS_ACCESS_TOKEN_SECRET": "revoked-secret"}, "xcapi auth login"),
        ({"X_ADS_CONSUMER_KEY": "no-access", "X_ADS_CONSUMER_SECRET": "no-access-secret"}, "Ads API"),
        ({"X_ADS_CONSUMER_KEY": "capi-only", "X_ADS_CONSUMER_SECRET": "capi-only-secret"}, "can send conversions"),
        ({"X_ADS_ACCESS_TOKEN_SECRET": ""}, "set X_ADS_ACCESS_TOKEN_SECRET"),
        ({"X_ADS_API_VERSION": "9"}, "X_ADS_API_VERSION"),
    ],
)
def test_what_x_refuses_to_whoami(signed_in: dict[str, str], x: Sandbox, changes: dict[str, str], told: str) -> None:
    """Status 2, one line with the mend, at most one question, and no id or secret."""
    apps = {"X_ADS_ACCESS_TOKEN": "analyst", "X_ADS_ACCESS_TOKEN_SECRET": "analyst-secret"}
    changes = changes | (apps if "X_ADS_CONSUMER_KEY" in changes else {})
    done = auth("whoami", environ=signed_in | changes)
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "canary" not in done.stderr
    assert len(x.requests) <= 1


@pytest.mark.parametrize(
    ("do", "status", "told"),
    [
        ({"status": 404, "answer": "html"}, 2, "X_ADS_API_URL"),
        ({"status": 403, "answer": "html"}, 2, "denies access"),
        ({"status": 401, "answer": "html"}, 2, "X_ADS_CONSUMER_KEY"),
        ({"status": 302, "headers": {"location": "https://x.com"}}, 2, "redirect"),
        ({"status": 200, "body": "<html>Welcome</html>"}, 1, "X_ADS_API_URL"),
        (
            {"status": 200, "body": '{"data": {"user_id": "jane.doe@example.com", "permissions": []}}'},
            1,
            "X_ADS_API_URL",
        ),
        ({"status": 200, "body": '{"data": {"user_id": "1"}}'}, 1, "X_ADS_API_URL"),
        ({"status": 501}, 2, "X_ADS_API_URL"),
    ],
)
def test_answers_that_tell_whoami_nothing(
    signed_in: dict[str, str], x: Sandbox, do: dict[str, Any], status: int, told: str
) -> None:
    """HTML, half an answer, or another place: asked once, one line, nothing of the answer in it."""
    x.script([{"match": {"next": 9}, "do": do}])
    done = auth("whoami", environ=signed_in)
    assert (done.exit_code, done.stdout) == (status, ""), done.stderr
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Welcome" not in done.stderr
    assert "jane" not in done.stderr
    assert len(x.requests) == 1


def test_a_network_that_is_down(signed_in: dict[str, str]) -> None:
    """What is wrong with it is said; status 1, for it may pass."""
    done = auth("whoami", environ=signed_in | {"X_ADS_API_URL": "https://ads-api.invalid"})
    assert (done.exit_code, done.stdout) == (1, "")
    assert "DNS" in done.stderr


@pytest.mark.parametrize(
    ("token", "status", "told"),
    [
        ("a-token-of-events-manager", 0, "well-formed"),
        ("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", 1, "an access token of OAuth 1.0a"),
        ("canary token", 2, "X_ADS_PIXEL_TOKEN"),
    ],
)
def test_a_pixel_token_is_looked_at_and_not_sent(
    environ: dict[str, str], x: Sandbox, token: str, status: int, told: str
) -> None:
    """Its form is all that can be checked; nothing is asked, and it is not shown."""
    environ = {name: value for name, value in environ.items() if "CONSUMER" not in name}
    done = auth("whoami", environ=environ | {"X_ADS_API_URL": x.url, "X_ADS_PIXEL_TOKEN": token})
    assert done.exit_code == status, done.stderr
    assert told in done.stdout + done.stderr
    assert token not in done.stdout + done.stderr
    assert x.requests == []


def test_one_value_in_two_places_is_doubted(signed_in: dict[str, str]) -> None:
    """A value of OAuth 1.0a pasted as pixel token."""
    done = auth("whoami", "--json", environ=signed_in | {"X_ADS_PIXEL_TOKEN": "sandbox-access-token"})
    assert done.exit_code == 1
    assert json.loads(done.stdout)["pixel_token"].startswith("doubtful: it is one of the values of OAuth 1.0a")
