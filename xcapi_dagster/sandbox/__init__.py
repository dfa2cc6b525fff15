"""An X Ads API on 127.0.0.1 that checks what X documents, for the demo, the tests and anybody's dry run.

    with Sandbox() as sandbox:
        ...  # send conversions to sandbox.url
        sandbox.received

It shares nothing with the client but `contract`, so that each catches the other's mistakes. Reading order: `api`
(the order of the checks), `conversions` (the rules for rows), `event_tags`, `accounts`, `access` and `signatures`,
`sign_in`, `limits`, `faults`, `record`, `page`, then `server` and `http_server`.
"""

from xcapi_dagster.sandbox.conversions import Rules
from xcapi_dagster.sandbox.faults import Do, Fault, Match
from xcapi_dagster.sandbox.limits import Limits
from xcapi_dagster.sandbox.record import HandledRequest, Received
from xcapi_dagster.sandbox.server import Sandbox, serve
from xcapi_dagster.sandbox.world import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    DEMO_EVENT_ID,
    DEMO_PIXEL_ID,
    DEMO_PIXEL_TOKEN,
    DEMO_SIGN_UP_EVENT_ID,
    DEMO_WORLD,
    AccessToken,
    Account,
    Application,
    EventTag,
    World,
    one_pixel_world,
)

__all__ = [
    "DEMO_ACCESS_TOKEN",
    "DEMO_ACCESS_TOKEN_SECRET",
    "DEMO_ACCOUNT_ID",
    "DEMO_CONSUMER_KEY",
    "DEMO_CONSUMER_SECRET",
    "DEMO_EVENT_ID",
    "DEMO_PIXEL_ID",
    "DEMO_PIXEL_TOKEN",
    "DEMO_SIGN_UP_EVENT_ID",
    "DEMO_WORLD",
    "AccessToken",
    "Account",
    "Application",
    "Do",
    "EventTag",
    "Fault",
    "HandledRequest",
    "Limits",
    "Match",
    "Received",
    "Rules",
    "Sandbox",
    "World",
    "one_pixel_world",
    "serve",
]
