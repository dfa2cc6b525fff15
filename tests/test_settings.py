"""Settings: from the environment to checked values, or one line that says what to set."""

import re
import string
from datetime import date
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.engines import engine_for, file_of
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.sandbox.world import DEMO_WORLD
from xcapi_dagster.settings import DEMO_OAUTH, SECRETS, VARIABLES, account_from_environment, from_environment, is_demo

CANARY = "canary-3f1b"
PRODUCTION = {
    "XCAPI_HOME": "/srv/xcapi",
    "XCAPI_WAREHOUSE_URL": "duckdb:////srv/shop.duckdb",
    "XCAPI_PIXEL_ALSO_FIRES": "true",
    "X_ADS_ACCOUNT_ID": "18ce55gze09",
    "X_ADS_PIXEL_ID": "o8z6j",
    "X_ADS_EVENT_ID": "tw-o8z6j-o87ne",
    "X_ADS_PIXEL_TOKEN": CANARY,
}
OAUTH = {
    "X_ADS_CONSUMER_KEY": "key",
    "X_ADS_CONSUMER_SECRET": "secret",
    "X_ADS_ACCESS_TOKEN": "token",
    "X_ADS_ACCESS_TOKEN_SECRET": "token-secret",
}


def refusal(environ: dict[str, str]) -> str:
    """The message that ``environ`` is refused with."""
    with pytest.raises(ConfigurationError) as raised:
        from_environment(environ)
    return str(raised.value)


def test_an_empty_environment_is_the_demo() -> None:
    """Without any variable, everything is the demo's and below `.xcapi`."""
    settings = from_environment({})
    assert settings.demo
    assert settings.home == Path(".xcapi").absolute()
    assert settings.api_url is None
    assert settings.start_date == date(2026, 10, 20)


def test_the_demo_is_what_its_sandbox_knows() -> None:
    """The demo's account, pixel, event and token exist in the sandbox's default world."""
    settings = from_environment({})
    account = DEMO_WORLD.account_of(settings.pixel_id)
    assert account is not None
    assert account.account_id == settings.account_id
    assert settings.event_id in account.pixels[settings.pixel_id]
    assert settings.pixel_token is not None
    assert DEMO_WORLD.pixel_tokens == {settings.pixel_token.get_secret_value(): settings.pixel_id}


@pytest.mark.parametrize(
    "variable", [v for v in VARIABLES.values() if v.startswith("X_ADS_")] + ["XCAPI_WAREHOUSE_URL"]
)
def test_one_real_variable_ends_the_demo(variable: str) -> None:
    """As soon as anything of X or a warehouse is set, what is missing is named and nothing of the demo remains."""
    assert not is_demo({variable: "1"})
    message = refusal({variable: "1"})
    missing = [name for name in PRODUCTION if name != variable]
    assert all(name in message or name == "X_ADS_PIXEL_TOKEN" for name in missing)


def test_a_blank_variable_is_an_unset_one() -> None:
    """A variable of white space counts as missing and is named."""
    assert "X_ADS_PIXEL_ID" in refusal(PRODUCTION | {"X_ADS_PIXEL_ID": "  "})
    assert is_demo({"X_ADS_PIXEL_ID": " "})


def test_production_needs_no_more_than_what_has_no_default() -> None:
    """The required variables alone are enough, and the files lie in the home folder."""
    settings = from_environment(PRODUCTION)
    assert not settings.demo
    assert settings.pixel_also_fires
    assert settings.ledger_url == "sqlite:////srv/xcapi/ledger/ledger.db"
    assert settings.output_url == "/srv/xcapi/output"
    assert (settings.events_per_15_min, settings.requests_per_min, settings.senders) == (60_000, 400, 4)
    assert (settings.api_url, settings.api_version) == ("https://ads-api.x.com", "12")


# a name has 255 bytes at most, and a character up to four
FOLDERS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@given(FOLDERS.filter(lambda name: name not in (".", "..")))
@hypothesis.example("what?").via("ended the path")
@hypothesis.example("a%20b").via("was read as a blank")
@hypothesis.example("a%2Fb?c=%25#d&e=f").via("all at once")
@hypothesis.example("of \udcff").via("no UTF-8")
def test_the_ledger_is_in_the_home_folder_whatever_that_is_called(name: str) -> None:
    """Its URL leads back to the same file."""
    settings = from_environment(PRODUCTION | {"XCAPI_HOME": f"/srv/{name}/xcapi"})
    engine = engine_for(settings.ledger_url)
    assert file_of(engine) == Path("/srv", name, "xcapi", "ledger", "ledger.db")


@pytest.mark.parametrize("name", ["what?", "a%20b", "a%3Fb", "a#b", "%", "user:password@host", "ä b\nc", "of \udcff"])
def test_a_ledger_is_made_in_the_home_folder_and_nowhere_else(tmp_path: Path, name: str) -> None:
    """SQLite opens what was meant."""
    settings = from_environment(PRODUCTION | {"XCAPI_HOME": f"{tmp_path}/{name}"})
    Database(settings.ledger_url).close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name / "ledger" / "ledger.db"]


@pytest.mark.parametrize("left_out", OAUTH)
def test_three_of_four_credentials_are_incomplete(left_out: str) -> None:
    """OAuth needs all four; the missing one is named, and the token does not stand in for it."""
    given_three = {name: value for name, value in OAUTH.items() if name != left_out}
    message = refusal(PRODUCTION | given_three)
    named = set(re.findall(r"\w+", message))
    assert left_out in named
    assert not named & given_three.keys()


def test_the_demo_s_home_is_absolute_too() -> None:
    """What follows from a relative one is not blamed in its place."""
    with pytest.raises(ConfigurationError, match=r"^XCAPI_HOME must be an absolute path"):
        from_environment({"XCAPI_HOME": "relative"})


def test_oauth_alone_signs() -> None:
    """The four OAuth values are enough without a pixel token."""
    environ = {name: value for name, value in PRODUCTION.items() if name != "X_ADS_PIXEL_TOKEN"} | OAUTH
    assert from_environment(environ).pixel_token is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("XCAPI_HOME", "relative/folder"),
        ("XCAPI_TIMEZONE", "Mars/Olympus"),
        ("XCAPI_SOURCE_TIMEZONE", "/etc/passwd"),
        ("XCAPI_START_DATE", "20th of October"),
        ("XCAPI_START_DATE", "0001-01-01"),
        ("XCAPI_START_DATE", "9999-12-31"),
        ("XCAPI_DEFAULT_COUNTRY", "usa"),
        ("XCAPI_DEFAULT_COUNTRY", "ZZ"),
        ("XCAPI_DEFAULT_CURRENCY", "DOLLAR"),
        ("XCAPI_PIXEL_ALSO_FIRES", "maybe"),
        ("XCAPI_ON_UNKNOWN", "retry"),
        ("XCAPI_UNKNOWN_CONSENT", "ignore"),
        ("XCAPI_EVENTS_PER_15_MIN", "0"),
        ("XCAPI_EVENTS_PER_15_MIN", "50000001"),
        ("XCAPI_REQUESTS_PER_MIN", "many"),
        ("XCAPI_SENDERS", "33"),
        ("XCAPI_KEEP_CONVERSIONS_DAYS", "36501"),
        ("XCAPI_KEEP_REPORTS_DAYS", "999999999999"),
        ("X_ADS_API_VERSION", "twelve"),
        ("X_ADS_API_VERSION", "\u0661\u0662"),
        ("X_ADS_PIXEL_TOKEN", f"{CANARY}\u00f1"),
        ("X_ADS_PIXEL_ID", "O8Z6J"),
        ("X_ADS_EVENT_ID", "tw-other-o87ne"),
        ("X_ADS_PIXEL_TOKEN", f"{CANARY}\n"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(variable: str, value: str) -> None:
    """One line names the variable; the value, which may be a secret in the wrong place, is not in it."""
    message = refusal(PRODUCTION | {variable: value})
    assert re.match(rf"{variable} (must|is|names|holds|belongs)\b", message), message
    assert "\n" not in message
    assert CANARY not in message


@pytest.mark.parametrize("field", sorted(SECRETS))
def test_secrets_are_never_shown(field: str) -> None:
    """Neither the settings' text nor their representation holds a secret."""
    settings = from_environment(PRODUCTION | OAUTH | {VARIABLES[field]: CANARY})
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)


def test_passwords_in_urls_are_never_shown() -> None:
    """A database's URL may hold a password."""
    environ = PRODUCTION | {
        "XCAPI_WAREHOUSE_URL": f"postgresql://u:{CANARY}@h/d",
        "XCAPI_LEDGER_URL": f"x://u:{CANARY}@h",
    }
    assert CANARY not in repr(from_environment(environ))


def test_an_ads_account_needs_neither_pixel_nor_warehouse() -> None:
    """Whoever creates the first event tag has no event id yet."""
    account = account_from_environment({"X_ADS_ACCOUNT_ID": "18ce55gze09"} | OAUTH)
    assert (account.account_id, account.api_url, account.api_version) == ("18ce55gze09", "https://ads-api.x.com", "12")
    assert account_from_environment(OAUTH | {"X_ADS_ACCOUNT_ID": "o1"}).account_id == "o1"
    assert account_from_environment({}).demo


@pytest.mark.parametrize("left_out", OAUTH)
def test_an_ads_account_is_asked_with_oauth_alone(left_out: str) -> None:
    """A pixel token does not stand in for any of the four; the account is named in the same line."""
    given_three = {name: value for name, value in OAUTH.items() if name != left_out}
    with pytest.raises(ConfigurationError) as raised:
        account_from_environment(given_three | {"X_ADS_PIXEL_TOKEN": CANARY})
    named = set(re.findall(r"\w+", str(raised.value)))
    assert {left_out, "X_ADS_ACCOUNT_ID"} <= named
    assert not named & given_three.keys()
    assert CANARY not in named


def test_the_demos_questions_are_signed_as_its_sandbox_knows() -> None:
    """The four values are those of the sandbox's default world."""
    (application,), (token,) = DEMO_WORLD.applications, DEMO_WORLD.access_tokens
    expected = (application.consumer_key, application.consumer_secret, token.token, token.secret)
    assert tuple(value.get_secret_value() for value in DEMO_OAUTH.values()) == expected


def test_a_given_value_goes_before_its_variable() -> None:
    """A component's YAML wins over the environment."""
    assert from_environment(PRODUCTION, senders=7, timezone=None).senders == 7


@hypothesis.settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(VARIABLES.values())), st.text(string.printable)))
def test_any_environment_is_accepted_or_refused_in_one_line(environ: dict[str, str]) -> None:
    """Whatever is in the variables, the outcome is settings or a line that tells what to set."""
    try:
        from_environment(environ)
    except ConfigurationError as error:
        message = str(error)
    else:
        return
    assert message
    assert "\n" not in message
