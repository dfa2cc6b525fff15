"""Who and what the sandbox knows: accounts with their pixels and events, applications, users, pixel tokens.

`DEMO_WORLD` is the default. Its credentials are plainly no credentials of X's; whoever sends real ones to the
sandbox gets a 401.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from xcapi_dagster.contract import ROLES_THAT_MAY_SEND

DEMO_ACCOUNT_ID = "18ce55demo0"
DEMO_PIXEL_ID = "odemo1"
DEMO_EVENT_ID = "opurch1"
DEMO_SIGN_UP_EVENT_ID = "osignup"
DEMO_CONSUMER_KEY = "sandbox-consumer-key"
DEMO_CONSUMER_SECRET = "sandbox-consumer-secret"  # noqa: S105 - opens the sandbox alone
DEMO_ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105 - opens the sandbox alone
DEMO_ACCESS_TOKEN_SECRET = "sandbox-access-token-secret"  # noqa: S105 - opens the sandbox alone
DEMO_PIXEL_TOKEN = "a-token-that-only-the-sandbox-knows"  # noqa: S105 - opens the sandbox alone


@dataclass(frozen=True, slots=True)
class EventTag:
    """A web event tag as an account has it when the sandbox starts; ``last_tracked_at`` is in Unix seconds.

    The windows are in days. Those of 60 and 90, which Events Manager can set and the API cannot, may occur.
    """

    id: str
    website_tag_id: str
    name: str
    type: str
    click_window: int = 30
    view_through_window: int = 1
    retargeting_enabled: bool = False
    last_tracked_at: float | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """An ads account: each pixel with its events, tags that exist but are no single event tags, and web event tags."""

    account_id: str
    pixels: Mapping[str, frozenset[str]]
    other_tags: frozenset[str] = frozenset()
    event_tags: tuple[EventTag, ...] = ()

    def pixel_of(self, event_id: str) -> str | None:
        """The pixel that owns a (short) event id; None when no pixel of this account does."""
        return next((pixel for pixel, events in self.pixels.items() if event_id in events), None)

    def knows(self, tag_id: str) -> bool:
        """Whether the id names anything of this account: a pixel, an event or another tag."""
        return tag_id in self.pixels or tag_id in self.other_tags or self.pixel_of(tag_id) is not None


@dataclass(frozen=True, slots=True)
class Application:
    """A developer's application, which signs requests with its consumer key.

    ``conversions_only`` is X's access level "Conversion only": conversions, and nothing else of the Ads API.
    ``callback_urls`` are those that users may be sent back to after they signed in; None: any. Where only
    ``pin_only`` is set they get a PIN.
    """

    consumer_key: str
    consumer_secret: str = field(repr=False)
    app_id: str
    has_ads_access: bool = True
    read_only: bool = False
    conversions_only: bool = False
    suspended: bool = False
    pin_only: bool = False
    callback_urls: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A user's permission for one application to act in the user's name."""

    token: str
    secret: str = field(repr=False)
    consumer_key: str
    user_id: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Everything the sandbox checks requests against.

    ``roles`` gives each user's roles per account; ``pixel_tokens`` the one pixel that each pixel token may send to;
    ``screen_names`` the names of the users who can sign in.
    """

    accounts: tuple[Account, ...]
    applications: tuple[Application, ...] = ()
    access_tokens: tuple[AccessToken, ...] = ()
    roles: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    pixel_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    screen_names: Mapping[str, str] = field(default_factory=dict)

    def account_of(self, pixel_id: str) -> Account | None:
        """The account that owns a pixel; None when nobody does."""
        return next((account for account in self.accounts if pixel_id in account.pixels), None)

    def account(self, account_id: str) -> Account | None:
        """The account with this id, if there is one."""
        return next((account for account in self.accounts if account.account_id == account_id), None)

    def application(self, consumer_key: str) -> Application | None:
        """The application with this consumer key, if there is one."""
        return next((app for app in self.applications if app.consumer_key == consumer_key), None)

    def access_token(self, token: str, consumer_key: str) -> AccessToken | None:
        """The access token that was given to this application, if there is one."""
        return next((t for t in self.access_tokens if t.token == token and t.consumer_key == consumer_key), None)

    def roles_of(self, user_id: str, account_id: str) -> frozenset[str]:
        """The user's roles on the account."""
        return self.roles.get(user_id, {}).get(account_id, frozenset())

    def may_send(self, user_id: str, account_id: str) -> bool:
        """Whether the user's roles on the account allow sending conversions, and changing what the account has."""
        return not ROLES_THAT_MAY_SEND.isdisjoint(self.roles_of(user_id, account_id))


def one_pixel_world(
    account_id: str, pixel_id: str, event_ids: Collection[str], event_tags: tuple[EventTag, ...] = ()
) -> World:
    """A world of one pixel with these events, where the demo's credentials, and no others, may send to it."""
    return World(
        accounts=(Account(account_id, {pixel_id: frozenset(event_ids)}, event_tags=event_tags),),
        applications=(Application(DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, app_id="10000001"),),
        access_tokens=(AccessToken(DEMO_ACCESS_TOKEN, DEMO_ACCESS_TOKEN_SECRET, DEMO_CONSUMER_KEY, user_id="1"),),
        roles={"1": {account_id: frozenset({"AD_MANAGER"})}},
        pixel_tokens={DEMO_PIXEL_TOKEN: pixel_id},
        screen_names={"1": "sandbox_user"},
    )


DEMO_WORLD = one_pixel_world(
    DEMO_ACCOUNT_ID,
    DEMO_PIXEL_ID,
    (DEMO_EVENT_ID, DEMO_SIGN_UP_EVENT_ID),
    (
        EventTag(DEMO_EVENT_ID, "nypurch1", "Purchase", "PURCHASE", click_window=30, view_through_window=1),
        EventTag(DEMO_SIGN_UP_EVENT_ID, "nysignup", "Sign-up", "SIGN_UP", click_window=14, view_through_window=1),
    ),
)
