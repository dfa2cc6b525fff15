"""X's side: whether it answers, its clock, its version, and what the credentials may do. No conversion is sent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

from xcapi_dagster import resources
from xcapi_dagster.ads_api.account import AdsAccount
from xcapi_dagster.ads_api.address import check_api_url
from xcapi_dagster.ads_api.auth import pixel_token_doubt
from xcapi_dagster.ads_api.catalogue import ROLE_ADVICE
from xcapi_dagster.ads_api.connection import Connection, NoReply
from xcapi_dagster.ads_api.event_tags import EventTags
from xcapi_dagster.ads_api.responses import Answer, classify_call
from xcapi_dagster.ads_api.tag_plan import WantedTag
from xcapi_dagster.ads_api.user_access import UserAccess, user_access
from xcapi_dagster.contract import USER_ACCESS_PATH, short_event_id
from xcapi_dagster.doctor.finding import Finding, guarded, not_checked
from xcapi_dagster.event_tags import CHECKS as TAG_CHECKS
from xcapi_dagster.reports.event_tags import Snapshot, verdicts
from xcapi_dagster.settings import OAUTH_FIELDS, Settings

ReadWanted = Callable[[], Sequence[WantedTag]]

CHECKS = ("credentials", "X", "clock", "version", "role", "pixel", "event tags")
_NOTICED_SKEW_SECONDS = 30.0
_TOLERATED_SKEW_SECONDS = 300.0  # as `ads_api.responses`
_ONLY_SENDS = "a pixel token can only send: X tells nothing else with it"
_SET_OAUTH = "to check this too, set the four OAuth variables or run `xcapi auth login`"


class _Nobody:
    """Signs nothing: enough to see whether X answers, and its clock."""

    def headers(self, method: str, url: str, now: float) -> dict[str, str]:  # noqa: ARG002 what others sign
        return {}


def examine(settings: Settings, read_wanted: ReadWanted, clock: Callable[[], float]) -> Iterator[Finding]:
    """A finding for each of CHECKS; ``read_wanted`` gives the event tags that should exist."""
    yield _credentials(settings)
    if unusable := list(guarded("X", "correct X_ADS_API_URL", lambda: _address(settings))):
        yield from unusable
        yield from not_checked(CHECKS[2:], "X comes first")
        return
    with resources.api_url_of(settings) as url:
        oauth = resources.oauth_of(settings)
        patience = resources.PATIENCE_WITH_QUESTIONS
        with closing(Connection(url, oauth or _Nobody(), timeout=patience, clock=clock)) as connection:
            yield from _answered(connection, url, settings, read_wanted if oauth else None)


def _answered(
    connection: Connection, url: str, settings: Settings, read_wanted: ReadWanted | None
) -> Iterator[Finding]:
    """What X's answers say; of clock and version alone where ``read_wanted`` is None, as without OAuth."""
    asked = _ask(connection, settings)
    yield (answers := _reachable(asked, url, is_known=read_wanted is not None))
    if answers.status == "broken":
        yield from not_checked(CHECKS[2:], "X comes first")
        return
    yield _clock(asked, connection.clock())
    yield _version(asked, settings)
    if read_wanted is None:
        for check in CHECKS[4:]:
            yield Finding(check, "warning", _ONLY_SENDS, _SET_OAUTH)
        return
    connection.clock_offset = asked.clock_skew or 0.0
    yield from _account(AdsAccount(connection, settings.api_version, settings.account_id), asked, settings, read_wanted)


def _address(settings: Settings) -> Iterator[Finding]:
    """Nothing where requests may go to the address that is set; raises ConfigurationError where they may not."""
    if settings.api_url is not None:
        check_api_url(settings.api_url)
    yield from ()


def _ask(connection: Connection, settings: Settings) -> Answer:
    """X's answer to who is signed in: it may be a refusal, but it has X's clock and warnings."""
    path = USER_ACCESS_PATH.format(version=settings.api_version, account_id=settings.account_id)
    reply = connection.exchange("GET", path)
    if isinstance(reply, NoReply):
        return Answer("not_sent", reason=reply.reason)
    content, account_id = reply.content or b"", settings.account_id
    return classify_call(reply.status, reply.headers, content, account_id=account_id, now=connection.clock())[0]


def _credentials(settings: Settings) -> Finding:
    oauth = [value.get_secret_value() for name in OAUTH_FIELDS if (value := getattr(settings, name)) is not None]
    token = settings.pixel_token
    doubt = None if token is None else pixel_token_doubt(token.get_secret_value(), oauth)
    if doubt:
        return Finding("credentials", "broken", f"X_ADS_PIXEL_TOKEN: {doubt}", "generate one in Events Manager")
    if len(oauth) == len(OAUTH_FIELDS):
        return Finding("credentials", "ok", "OAuth 1.0a, all four values")
    return Finding("credentials", "ok", "a pixel token, well-formed; X tells only when it is used whether it is right")


def _reachable(answer: Answer, url: str, *, is_known: bool) -> Finding:
    if answer.status is None:
        mend = "check the network, the proxy and X_ADS_API_URL"
        return Finding("X", "broken", answer.reason, mend, may_pass=True)
    if "readable body" in answer.reason or (answer.kind == "unknown" and not answer.errors and answer.status < 500):
        return Finding("X", "broken", f"{answer.reason or 'no answer of the API'}", "correct X_ADS_API_URL")
    if answer.status >= 500 or answer.kind == "throttled":
        return Finding("X", "broken", answer.reason, "try again later", may_pass=True)
    if 300 <= answer.status < 400:
        return Finding("X", "broken", answer.reason, "correct X_ADS_API_URL")
    return Finding("X", "ok", f"answers at {url}" if is_known else f"answers at {url}, though to nobody in particular")


def _clock(answer: Answer, now: float) -> Finding:
    if answer.server_date is None:
        return Finding("clock", "warning", "X's answer has no Date", "keep this machine's clock right with NTP")
    skew = answer.server_date - now
    told = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} X's"
    if abs(skew) > _TOLERATED_SKEW_SECONDS:
        return Finding("clock", "broken", f"this machine's clock is {told}: X refuses what it signs", "set it with NTP")
    if abs(skew) > _NOTICED_SKEW_SECONDS:
        return Finding("clock", "warning", f"this machine's clock is {told}", "set it with NTP")
    return Finding("clock", "ok", "this machine's clock agrees with X's")


def _version(answer: Answer, settings: Settings) -> Finding:
    if any(error.message_name == "version_not_available" for error in answer.errors):
        return Finding("version", "broken", f"X has no version {settings.api_version}", "correct X_ADS_API_VERSION")
    if answer.warning:
        return Finding("version", "warning", f"X warns: {answer.warning}", "look for a newer xcapi-dagster")
    return Finding("version", "ok", f"{settings.api_version}, without a warning")


def _account(account: AdsAccount, asked: Answer, settings: Settings, read_wanted: ReadWanted) -> Iterator[Finding]:
    if any(error.code == "UNAUTHORIZED_CLIENT_APPLICATION" for error in asked.errors):
        told = "this app may not read the ads account; with the access level “Conversion only” it can send all the same"
        for check in CHECKS[4:]:
            yield Finding(check, "warning", told, "where that is not meant, ask X for access to the Ads API")
        return
    found = list(guarded("role", "", lambda: iter([_role(user_access(account))])))
    yield from found
    if found[0].status == "broken" and not found[0].mend:  # X did not even say which role
        yield from not_checked(CHECKS[5:], "the role comes first")
        return
    found = list(guarded("event tags", "", lambda: _tags(account, settings, read_wanted)))
    if found[0].check != "pixel":  # X did not tell the event tags, whose ids it must not be
        yield from not_checked(("pixel",), "the event tags come first")
    yield from found


def _role(access: UserAccess) -> Finding:
    roles = ", ".join(access.permissions) or "nothing"
    if access.may_send:
        return Finding("role", "ok", f"user {access.user_id} is {roles}")
    return Finding("role", "broken", f"user {access.user_id} is {roles}, which may not send", ROLE_ADVICE)


def _tags(account: AdsAccount, settings: Settings, read_wanted: ReadWanted) -> Iterator[Finding]:
    tags = EventTags(account).find(with_deleted=True).tags
    yield _pixel(settings, {tag.id for tag in tags})
    snapshot = Snapshot(settings.account_id, tags, datetime.now(UTC))
    judged = verdicts(snapshot, [short_event_id(settings.event_id)], read_wanted(), lambda _window: {})
    failing = [(name, verdict) for name, verdict in judged.items() if not verdict.passed]
    for name, verdict in failing:
        is_error = TAG_CHECKS[name][0].value == "ERROR"
        mend = "correct X_ADS_EVENT_ID or event_tags: `xcapi tags list` shows what there is" if is_error else ""
        yield Finding("event tags", "broken" if is_error else "warning", verdict.told, mend)
    if not failing:
        yield Finding("event tags", "ok", judged["event_types_as_expected"].told)


def _pixel(settings: Settings, tag_ids: set[str]) -> Finding:
    """X has no call that tells of a pixel; some mistakes show all the same."""
    if settings.pixel_id in tag_ids:
        mend = "set X_ADS_PIXEL_ID to the pixel's id: Events Manager shows it above the events"
        return Finding("pixel", "broken", f"{settings.pixel_id} is the id of an event tag", mend)
    if settings.pixel_id == short_event_id(settings.event_id):
        mend = "set X_ADS_EVENT_ID to the id of a single event of the pixel"
        return Finding("pixel", "broken", "X_ADS_EVENT_ID is the pixel's own id", mend)
    return Finding("pixel", "ok", f"{settings.pixel_id}; X tells only of what is sent whether it is this account's")
