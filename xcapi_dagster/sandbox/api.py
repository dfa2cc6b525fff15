"""The sandbox's API: a request in, an answer out.

The checks come in the order route, version, sender, access, rate limit, body, count, rows: a guess, no page tells
X's.
"""

import hashlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from xcapi_dagster import contract
from xcapi_dagster.sandbox.access import Sender, authenticate, authorize, authorize_account
from xcapi_dagster.sandbox.accounts import Accounts
from xcapi_dagster.sandbox.answers import Answer, Error, Request, documented, failure, of_status, success
from xcapi_dagster.sandbox.conversions import STRICT, Rules, check, listed, parse
from xcapi_dagster.sandbox.event_tags import EventTags
from xcapi_dagster.sandbox.faults import Do, Script
from xcapi_dagster.sandbox.limits import DEFAULT_LIMITS, Limits, Meter
from xcapi_dagster.sandbox.record import Batch, HandledRequest, Record
from xcapi_dagster.sandbox.sign_in import SignIn
from xcapi_dagster.sandbox.signatures import Nonces
from xcapi_dagster.sandbox.world import DEMO_WORLD, Account, World


def _route(path: str, **names: str) -> re.Pattern[str]:
    return re.compile(path.format(version=r"(?P<version>[0-9]+(?:\.[0-9]+)?)", **names))


_CONVERSIONS = _route(contract.CONVERSIONS_PATH, pixel_id="(?P<pixel_id>[^/]+)")
_EVENT_TAGS = _route(contract.EVENT_TAGS_PATH, account_id="(?P<account_id>[^/]+)")
_ACCOUNTS = _route(contract.ACCOUNTS_PATH + "(?:/(?P<account_id>[^/]+)(?P<access>/authenticated_user_access)?)?")
_EVENT_TAG = _route(contract.EVENT_TAGS_PATH + "/(?P<tag_id>[^/]+)", account_id="(?P<account_id>[^/]+)")


@dataclass(frozen=True, slots=True)
class Behavior:
    """What the sandbox knows and how strict it is. ``seed`` decides the debug ids."""

    world: World = DEMO_WORLD
    rules: Rules = STRICT
    limits: Limits = DEFAULT_LIMITS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A request with its number, its time (Unix seconds) and its body as JSON, None when it is none."""

    request: Request
    number: int
    time: float
    document: object


_Answering = Callable[[_Arrived, Sender, re.Match[str]], Answer]


class Api:
    """Answers conversions, `POST /12/measurement/conversions/:pixel_id`, web event tags, signing in, and all else as X.

    ``clock`` gives Unix seconds; ``wait`` waits so many seconds, for scripted delays.
    """

    def __init__(
        self, behavior: Behavior, record: Record, clock: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        self.record = record
        self.script = Script()
        self._behavior = behavior
        self._clock = clock
        self._wait = wait
        self._nonces = Nonces()
        self._meter = Meter(behavior.limits)
        self._sign_in = SignIn(behavior.world, self._nonces, behavior.seed)
        self._event_tags = EventTags(behavior.world, record.last_received)
        self._accounts = Accounts()
        self._routes: tuple[tuple[re.Pattern[str], tuple[str, ...], _Answering], ...] = (
            (_CONVERSIONS, ("POST",), self._answer_conversions),
            (_ACCOUNTS, ("GET",), self._answer_about_accounts),
            (_EVENT_TAGS, ("GET", "POST"), self._answer_about_tags),
            (_EVENT_TAG, ("GET", "PUT", "DELETE"), self._answer_about_tags),
        )

    def answer(self, request: Request) -> tuple[Answer | None, int]:
        """The answer, None to close the connection without one, and how many conversions the request held."""
        arrived = _Arrived(request, self.record.next_number(), self._clock(), parse(request.body))
        do = self.script.take(arrived.number, lambda: _conversion_ids(arrived.document))
        answer = self._true_answer(arrived) if do is None else self._faulty_answer(arrived, do)
        conversions = len(listed(arrived.document))
        handled = HandledRequest(
            number=arrived.number,
            received_at=arrived.time,
            method=request.method,
            path=request.path,
            status=None if answer is None else answer.status,
            size=len(request.body),
            conversions=conversions,
            is_faulty=do is not None,
        )
        self.record.finish(handled)
        return answer, conversions

    def _faulty_answer(self, arrived: _Arrived, do: Do) -> Answer | None:
        self._wait(do.delay)
        true_answer = self._true_answer(arrived) if do.processes else None
        return None if do.drop else do.spoiled(true_answer)

    def _true_answer(self, arrived: _Arrived) -> Answer:
        return self._sign_in.answer(arrived.request, arrived.time) or self._answer_of_api(arrived)

    def _answer_of_api(self, arrived: _Arrived) -> Answer:
        for pattern, methods, answer in self._routes:
            if route := pattern.fullmatch(arrived.request.path):
                return self._answer_of(arrived, route, methods, answer)
        return failure(documented("route_not_found"))

    def _answer_of(
        self, arrived: _Arrived, route: re.Match[str], methods: tuple[str, ...], answer: _Answering
    ) -> Answer:
        if route["version"] != contract.API_VERSION:
            return failure(documented("version_not_available", value=route["version"]))
        if arrived.request.method not in methods:
            return failure(of_status(405))
        sender = authenticate(arrived.request, self._sign_in.world, self._nonces, arrived.time)
        return failure(sender) if isinstance(sender, Error) else answer(arrived, sender, route)

    def _answer_about_accounts(self, arrived: _Arrived, sender: Sender, route: re.Match[str]) -> Answer:
        world, asks_for_access = self._sign_in.world, route["access"] is not None
        return self._accounts.answer(sender, route["account_id"], world, arrived.time, asks_for_access=asks_for_access)

    def _answer_about_tags(self, arrived: _Arrived, sender: Sender, route: re.Match[str]) -> Answer:
        account_id, is_change = route["account_id"], arrived.request.method != "GET"
        account = authorize_account(sender, account_id, self._sign_in.world, is_change=is_change)
        if isinstance(account, Error):
            return failure(account)
        return self._event_tags.answer(arrived.request, account_id, route.groupdict().get("tag_id"), arrived.time)

    def _answer_conversions(self, arrived: _Arrived, sender: Sender, route: re.Match[str]) -> Answer:
        account = authorize(sender, route["pixel_id"], self._sign_in.world)
        if isinstance(account, Error):
            return failure(account)
        return self._answer_within_limits(arrived, account, route["pixel_id"])

    def _answer_within_limits(self, arrived: _Arrived, account: Account, pixel_id: str) -> Answer:
        account_id, conversions = account.account_id, listed(arrived.document)
        quota = self._meter.take(account_id, len(conversions), arrived.time)
        headers = self._behavior.limits.headers(quota)
        if not quota.is_granted:
            return failure(of_status(429), account_id=account_id, headers=headers)
        if not arrived.request.is_json:
            return failure(of_status(415), account_id=account_id, headers=headers)
        account = self._event_tags.account_now(account, pixel_id)
        if errors := check(arrived.document, account, self._behavior.rules):
            return failure(*errors, account_id=account_id, headers=headers)
        self.record.accept(Batch(arrived.number, arrived.time, account_id, pixel_id, conversions))
        return success(account_id, len(conversions), self._debug_id(arrived.number), headers)

    def _debug_id(self, number: int) -> str:
        digest = hashlib.blake2b(f"{self._behavior.seed}/{number}".encode(), digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=4))


def _conversion_ids(document: object) -> set[str]:
    return {
        row["conversion_id"]
        for row in listed(document)
        if isinstance(row, dict) and isinstance(row.get("conversion_id"), str)
    }
