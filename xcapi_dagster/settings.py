"""Every setting: its variable, type, default, check and message.

The bundled project reads them all from the environment; a component's YAML may give the same values (`Settings`
has one field for each) except the secrets. Without any `X_ADS_*` variable and without a warehouse it is the demo;
as soon as one is set, nothing defaults to a demo value and whatever is missing is named. The OAuth values may also
be those that `xcapi auth login` keeps in the home folder.
"""

import re
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from xcapi_dagster import contract
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.setting_types import AdsId, Country, Date, Flag, Secret, TimeZone, matching
from xcapi_dagster.token_file import with_stored_token

OAUTH_FIELDS = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")

# field -> environment variable, in the order in which the documentation and messages name them
VARIABLES: Mapping[str, str] = {
    "home": "XCAPI_HOME",
    "warehouse_url": "XCAPI_WAREHOUSE_URL",
    "orders": "XCAPI_ORDERS",
    "ledger_url": "XCAPI_LEDGER_URL",
    "output_url": "XCAPI_OUTPUT_URL",
    "reports_url": "XCAPI_REPORTS_URL",
    "start_date": "XCAPI_START_DATE",
    "timezone": "XCAPI_TIMEZONE",
    "source_timezone": "XCAPI_SOURCE_TIMEZONE",
    "default_country": "XCAPI_DEFAULT_COUNTRY",
    "default_currency": "XCAPI_DEFAULT_CURRENCY",
    "pixel_also_fires": "XCAPI_PIXEL_ALSO_FIRES",
    "on_unknown": "XCAPI_ON_UNKNOWN",
    "unknown_consent": "XCAPI_UNKNOWN_CONSENT",
    "allow_ip_user_agent_only": "XCAPI_ALLOW_IP_USER_AGENT_ONLY",
    "send_event_source_url": "XCAPI_SEND_EVENT_SOURCE_URL",
    "keep_conversions_days": "XCAPI_KEEP_CONVERSIONS_DAYS",
    "keep_reports_days": "XCAPI_KEEP_REPORTS_DAYS",
    "keep_details_days": "XCAPI_KEEP_DETAILS_DAYS",
    "events_per_15_min": "XCAPI_EVENTS_PER_15_MIN",
    "requests_per_min": "XCAPI_REQUESTS_PER_MIN",
    "senders": "XCAPI_SENDERS",
    "api_url": "X_ADS_API_URL",
    "api_version": "X_ADS_API_VERSION",
    "account_id": "X_ADS_ACCOUNT_ID",
    "pixel_id": "X_ADS_PIXEL_ID",
    "event_id": "X_ADS_EVENT_ID",
    "consumer_key": "X_ADS_CONSUMER_KEY",
    "consumer_secret": "X_ADS_CONSUMER_SECRET",
    "access_token": "X_ADS_ACCESS_TOKEN",
    "access_token_secret": "X_ADS_ACCESS_TOKEN_SECRET",
    "pixel_token": "X_ADS_PIXEL_TOKEN",
}
BUNDLED_INSTANCE = "purchases"  # the one in the bundled project
_ALIKE = 0.85  # of the letters: a typing error
_OURS = re.compile(r"(?P<prefix>(?:\w+_)??)(?P<name>(?:XCAPI|X_ADS)_\w+)")
_MOST_DAYS = 36_500  # a century; times that lie further back cannot be told
SECRETS = frozenset({*OAUTH_FIELDS, "pixel_token"})

FIRST_DAY = date(2026, 10, 20)  # of sample_data, and of the partitions unless a start date is set

# The demo's account, pixel and event exist in its sandbox alone.
DEMO: Mapping[str, Any] = {
    "demo": True,
    "pixel_also_fires": False,
    "unknown_consent": "suppress",
    "account_id": "18ce55demo0",
    "pixel_id": "odemo1",
    "event_id": "opurch1",
    "pixel_token": "a-token-that-only-the-sandbox-knows",
}
# They open the sandbox alone; the demo's orders go with the token, its questions about event tags with these.
DEMO_OAUTH: Mapping[str, SecretStr] = {field: SecretStr(f"sandbox-{field.replace('_', '-')}") for field in OAUTH_FIELDS}


class AccountSettings(BaseModel):
    """What a question about an ads account needs: where X is, the account, and who asks."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    demo: bool = False
    api_url: str | None = Field(default=contract.API_URL, description="None: the demo's own sandbox.")
    api_version: Annotated[str, matching("[0-9]+", "must be a number")] = contract.API_VERSION
    account_id: AdsId
    consumer_key: Secret | None = None
    consumer_secret: Secret | None = None
    access_token: Secret | None = None
    access_token_secret: Secret | None = None
    pixel_token: Secret | None = None


class Settings(AccountSettings):
    """One component instance's settings, checked. `from_environment` is the usual way to get one."""

    name: Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "must be a plain name")] = BUNDLED_INSTANCE
    home: Path = Field(description="Folder for all that is written.")
    warehouse_url: str = Field(repr=False, description="duckdb:///FILE, postgresql://… and others.")
    orders: str = Field(default="orders", description="table, schema.table, or a path ending in .sql")
    ledger_url: str = Field(repr=False, description="SQLAlchemy URL of the ledger: SQLite or PostgreSQL.")
    output_url: str = Field(repr=False, description="Folder or object store for Parquet and reports.")
    reports_url: (
        Annotated[str, matching("https?://[^?#@]+", "must be an address such as https://reports.example.com")] | None
    ) = Field(default=None, repr=False, description="Where a web server serves the output folder, for links.")
    start_date: Date = Field(
        default=FIRST_DAY, ge=date(1970, 1, 1), le=date(3000, 1, 1), description="The first daily partition."
    )
    timezone: TimeZone = Field(default="UTC", description="Of the partitions.")
    source_timezone: TimeZone = Field(default="UTC", description="Of timestamps without a zone.")
    default_country: Country | None = Field(default=None, description="For national phone numbers.")
    default_currency: str | None = Field(default=None, description="ISO 4217, for values without a currency.")
    pixel_also_fires: Flag = Field(description="Whether the X Pixel reports the same orders.")
    on_unknown: Literal["resend", "hold"] = "resend"
    unknown_consent: Literal["suppress", "send"] | None = None
    allow_ip_user_agent_only: Flag = True
    send_event_source_url: Flag = False
    keep_conversions_days: int = Field(default=7, ge=1, le=_MOST_DAYS, description="Of files with hashed identifiers.")
    keep_reports_days: int | None = Field(
        default=None, ge=1, le=_MOST_DAYS, description="Of results and reports; None: for ever."
    )
    keep_details_days: int | None = Field(
        default=None, ge=1, le=_MOST_DAYS, description="Of X's words in the ledger; None: for ever."
    )
    events_per_15_min: int = Field(default=contract.EVENTS_PER_WINDOW, ge=1, le=contract.EVENTS_PER_WINDOW_MAX)
    requests_per_min: int = Field(default=contract.REQUESTS_PER_MINUTE, ge=1, le=contract.REQUESTS_PER_MINUTE_MAX)
    senders: int = Field(default=4, ge=1, le=32)
    pixel_id: AdsId
    event_id: str

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        event = contract.EVENT_ID.fullmatch(self.event_id)
        if not event or event["pixel"] not in (None, self.pixel_id):
            raise ValueError("X_ADS_EVENT_ID must be an event id such as o87ne, or tw-<pixel>-<event> of this pixel")
        if self.default_currency is not None and self.default_currency not in contract.CURRENCIES:
            raise ValueError("XCAPI_DEFAULT_CURRENCY must be an ISO 4217 code such as USD")
        if self.default_country is not None and self.default_country not in SUPPORTED_REGIONS:
            raise ValueError("XCAPI_DEFAULT_COUNTRY must be an ISO 3166 country code such as US")
        if not self.home.is_absolute():
            raise ValueError("XCAPI_HOME must be an absolute path: another folder would be another ledger")
        return self

    @property
    def dagster_home(self) -> Path:
        """Dagster's own folder, used when DAGSTER_HOME is unset."""
        return self.home / "dagster"


Checked = TypeVar("Checked", bound=AccountSettings)


def is_demo(environ: Mapping[str, str]) -> bool:
    """Whether no warehouse and nothing of X is configured."""
    return not any(
        value.strip() and (name.startswith("X_ADS_") or name == VARIABLES["warehouse_url"])
        for name, value in environ.items()
    )


def from_environment(environ: Mapping[str, str], *, prefix: str | None = None, **given: Any) -> Settings:
    """The settings that ``environ`` describes; a value ``given`` (by a component's YAML) goes before its variable.

    With ``prefix`` EU, EU_X_ADS_PIXEL_ID goes before X_ADS_PIXEL_ID, and so on. Raises ConfigurationError, in one
    line that names every variable to set or to correct, and no value; also for a prefix that no variable has.
    """
    given = {field: value for field, value in given.items() if value is not None}
    if not prefix:
        return _from_environment(environ, given)
    own = _own(prefix, environ)
    has_own_token = VARIABLES["pixel_token"] in own
    try:
        settings = _from_environment(_as_seen_with(own, environ), given, takes_kept_token=not has_own_token)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (each variable's name may start with {prefix}_)") from None
    if not own:  # the other instance's pixel would get the orders
        raise ConfigurationError(f"prefix {prefix!r}: no variable such as {prefix}_{VARIABLES['account_id']} is set")
    return settings


def _from_environment(
    environ: Mapping[str, str], given: Mapping[str, Any], *, takes_kept_token: bool = True
) -> Settings:
    """As `from_environment`; the token that `xcapi auth login` keeps, which has no prefix, need not be taken."""
    values: dict[str, Any] = {}
    demo = is_demo(environ) and not given.keys() & {"warehouse_url", "account_id", "pixel_id", "api_url"}
    if demo:
        values |= {**DEMO, "home": Path(".xcapi").absolute(), "api_url": None}
    for field, variable in VARIABLES.items():
        if text := environ.get(variable, "").strip(" \t"):
            values[field] = text
    values |= given
    if not demo and takes_kept_token:
        values = with_stored_token(values, Path(values["home"]) if "home" in values else None)
    values = _with_places(values)
    return _checked(Settings, values, _missing_credentials(values))


def _own(prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What variables with ``prefix`` say, by their names without it."""
    return {
        name: environ[f"{prefix}_{name}"] for name in VARIABLES.values() if environ.get(f"{prefix}_{name}", "").strip()
    }


def _as_seen_with(own: dict[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """``environ`` where an instance's ``own`` variables stand for those without its prefix.

    Credentials are never mixed: with one that is its own, those without the prefix do not count.
    """
    credentials = {VARIABLES[field] for field in SECRETS}
    hidden = credentials if credentials & own.keys() else set()
    return {name: value for name, value in environ.items() if name not in hidden} | own


def account_from_environment(environ: Mapping[str, str], *, needs_oauth: bool = True) -> AccountSettings:
    """What ``environ`` says about the ads account alone, with OAuth 1.0a unless not needed: a pixel token only sends.

    Raises ConfigurationError like `from_environment`. Without anything of X it is the demo's.
    """
    if is_demo(environ):
        return from_environment(environ)
    told = {
        field: environ.get(VARIABLES[field], "").strip(" \t")
        for field in AccountSettings.model_fields
        if field in VARIABLES
    }
    values = {field: text for field, text in told.items() if text}
    home = environ.get(VARIABLES["home"], "").strip(" \t")
    values = with_stored_token(values, Path(home) if home else None)
    return _checked(AccountSettings, values, missing_oauth(values) if needs_oauth else _missing_credentials(values))


def missing_oauth(values: Mapping[str, Any]) -> list[str]:
    """What to set of OAuth 1.0a in ``values``, in one line, before an ads account can be asked; else nothing."""
    missing = [VARIABLES[field] for field in OAUTH_FIELDS if not values.get(field)]
    if not missing:
        return []
    token = f": {VARIABLES['pixel_token']} can only send conversions" if len(missing) == len(OAUTH_FIELDS) else ""
    reason = f"X tells about an ads account and its event tags only with OAuth 1.0a{token}"
    return [f"{reason}; set {', '.join(missing)}, or sign in with `xcapi auth login`"]


def misspelled(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that look like one of ours and are none, each with the one that was probably meant.

    Also behind a prefix, of which there may be some: without one, the variable of another instance would be read.
    """
    known = list(VARIABLES.values())
    found: dict[str, str] = {}
    for name in environ:
        ours = _OURS.fullmatch(name)
        if ours and ours["name"] not in known and (meant := get_close_matches(ours["name"], known, 1, _ALIKE)):
            found[name] = ours["prefix"] + meant[0]
    return {name: whole for name, whole in found.items() if whole not in environ}


def _with_places(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with the files' default places, which all lie in the home folder."""
    if "home" not in values:
        return values
    home = Path(values["home"])
    places = {"ledger_url": _sqlite_url(home / "ledger" / "ledger.db"), "output_url": str(home / "output")}
    if values.get("demo"):
        places["warehouse_url"] = f"duckdb:///{home / 'warehouse.duckdb'}"
    return places | values


def _sqlite_url(path: Path) -> str:
    """A URL that SQLAlchemy reads as ``path``, as it is written unless it has signs in it that mean something there.

    Raises ConfigurationError for a name that no URL leads to, which only older versions of SQLAlchemy have.
    """
    plain = str(path)
    if not {"%", "?"} & set(plain):
        return f"sqlite:///{plain}"
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - commands that need no ledger start without it

    for written in (plain, plain.replace("%", "%25").replace("?", "%3F")):
        if make_url(f"sqlite:///{written}").database == plain:
            return f"sqlite:///{written}"
    raise ConfigurationError("XCAPI_HOME has a ? in it, which needs SQLAlchemy 2.1 or newer")


def _checked(kind: type[Checked], values: Mapping[str, Any], credentials: list[str]) -> Checked:
    problems: list[Any] = []
    settings: Checked | None = None
    try:
        settings = kind(**values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    # the places of ledger and output follow from the home folder: without it, only that is named
    absent = {p["loc"][0] for p in problems if p["type"] == "missing"} - {"ledger_url", "output_url"}
    missing = [field for field in VARIABLES if field in absent]
    lines = [f"set {', '.join(VARIABLES[field] for field in missing)}"] if missing else []
    lines += credentials
    lines += [_described(problem) for problem in problems if problem["type"] != "missing"]
    if settings is None or lines:
        raise ConfigurationError("; ".join(lines))
    return settings


def _missing_credentials(values: Mapping[str, Any]) -> list[str]:
    """What to set before requests can be signed: all four of OAuth 1.0a, or the pixel token when none of them is."""
    missing = [VARIABLES[field] for field in OAUTH_FIELDS if field not in values]
    if not missing or (len(missing) == len(OAUTH_FIELDS) and "pixel_token" in values):
        return []
    instead = f", or {VARIABLES['pixel_token']}" if len(missing) == len(OAUTH_FIELDS) else ""
    return [f"credentials are incomplete: set {', '.join(missing)}{instead}, or sign in with `xcapi auth login`"]


def _described(problem: Any) -> str:
    """The problem in a sentence about the variable; the parts that are pydantic's sound like ours."""
    text = re.sub("^Value error, ", "", problem["msg"]).partition(", unable to ")[0]
    text = re.sub("^Input should be ", "must be ", text)
    if not problem["loc"]:
        return text
    return f"{VARIABLES.get(problem['loc'][0], problem['loc'][0])} {text[:1].lower()}{text[1:]}"
